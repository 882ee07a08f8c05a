"""The file of a tree: what people write, as types. The JSON schema that editors check it by is derived from these.

A node asks, and its cases are tried in their order: the first whose condition holds says where to go, `otherwise` where none
does. A condition names inputs, each with a test; all must hold. A list of conditions holds where any of them does. A test is a
value, a list of values, or words: above, at_least, below, at_most, is, in, not_in, missing, or_missing. No test but the last two
holds for a missing value: what follows where something is not known is always somebody's decision.
"""

from __future__ import annotations

import json
from datetime import date
from functools import cache
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter, model_validator

from models.trees.facts import Fact, Part, Type

V = TypeVar("V")
Identifier = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
Number = StrictInt | StrictFloat
Scalar = StrictBool | StrictInt | StrictFloat | StrictStr
Condition = dict[str, Any]


class Test(Part, Generic[V]):
    """What is asked of a text or a truth."""

    model_config = ConfigDict(title="Test")
    is_: V | None = Field(None, alias="is", description="this value")
    in_: list[V] | None = Field(None, alias="in", min_length=1, description="one of these")
    not_in: list[V] | None = Field(None, min_length=1, description="known, and none of these")
    missing: StrictBool | None = Field(None, description="true: not known; false: known, whatever it is. Stands alone")
    or_missing: StrictBool = Field(default=False, description="holds for a missing value, too")

    @model_validator(mode="after")
    def _says_something(self) -> Test[V]:
        said = self.model_fields_set - {"missing", "or_missing"}
        if self.missing is not None and (said or self.or_missing):
            raise ValueError("'missing' stands alone; say 'or_missing: true' beside other words")
        if self.missing is None and not said:
            raise ValueError("it asks nothing: say a word such as 'is'")
        if any(getattr(self, name) is None for name in said):
            raise ValueError("a word has no value: where a value is missing, say 'missing: true'")
        return self


class Range(Test[V]):
    """What is asked of a number or a date: a value, some values, or bounds, which all hold."""

    above: V | None = Field(None, description="more, or later, than this")
    at_least: V | None = Field(None, description="this, or more")
    below: V | None = Field(None, description="less, or earlier, than this")
    at_most: V | None = Field(None, description="this, or less")


class Case(Part):
    """One way out of a node."""

    when: Condition | Annotated[list[Condition], Field(min_length=1)] = Field(
        description="inputs with their tests, which all must hold; a list of such holds where any of them does"
    )
    then: Identifier = Field(description="the node or leaf that follows")


class Node(Part):
    """A question. Its cases are tried in their order."""

    ask: str = Field("", description="the question, for people")
    cases: tuple[Case, ...] = Field(min_length=1)
    otherwise: Identifier | None = Field(None, description="what follows where no case holds; without it the cases must cover everything")


class Leaf(Part):
    """What is decided."""

    action: Identifier = Field(description="what is done")
    reason: Annotated[str, Field(min_length=1)] = Field(description="why, as whoever is concerned will read it")
    terms: dict[Identifier, Scalar] = Field(default_factory=dict, description="figures of the action, such as a share that is paid ahead")


class Changeable(Part):
    """How an input may change where another decision is wished for; an input that is not named may not."""

    unit: float = Field(1.0, gt=0, description="of a number: how much of a change weighs 1; of a date: days")
    direction: Literal["any", "up", "down"] = Field("any", description="of a number or date: whether it may grow, or shrink")
    cost: float = Field(1.0, gt=0, description="what a change weighs that has no size: of a text or truth, or of what was missing")


class TreeFile(Part):
    """A decision tree of Pilothouse: who asks what in which order, and what follows."""

    name: Identifier = Field(description="of the tree; its file is named after it")
    description: str = Field("", description="what it decides, and who answers for it")
    facts: str | None = Field(None, description="the declared set of inputs that it asks: `pilothouse tree schema` lists them")
    inputs: dict[str, Fact] = Field(default_factory=dict, description="inputs that are declared here, for this tree alone")
    start: Identifier = Field(description="the node that asks first, or a leaf")
    nodes: dict[Identifier, Node] = Field(default_factory=dict)
    leaves: dict[Identifier, Leaf] = Field(min_length=1)
    changeable: dict[str, Changeable] = Field(
        default_factory=dict, description="inputs that may change where another decision is wished for"
    )

    def canonical(self) -> str:
        """What it says, in one writing: comments, descriptions, layout and the order of names say nothing."""
        plain = self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"description"})
        for fact in plain.get("inputs", {}).values():
            fact.pop("description", None)
        return json.dumps(_even(plain), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


TYPES: dict[Type, Any] = {"number": Number, "integer": Number, "text": StrictStr, "bool": StrictBool, "date": date}


@cache
def test_type(type_: Type) -> Any:
    """The words that can be asked of an input of a type."""
    value = TYPES[type_]
    return Range[value] if type_ in {"number", "integer", "date"} else Test[value]  # type: ignore[valid-type]


@cache
def test_adapter(type_: Type) -> TypeAdapter[Any]:
    """Reads a test as it is written in full: words and their values."""
    return TypeAdapter(test_type(type_))


def _even(value: Any) -> Any:
    """Numbers that are equal are written equally."""
    if isinstance(value, dict):
        return {str(name): _even(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_even(each) for each in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value.isoformat() if isinstance(value, date) else value
