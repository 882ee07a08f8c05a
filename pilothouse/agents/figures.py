"""What the figures of a decision are, as its output declares them: pages, lists and Dagster show them without knowing the agent.

The mark stands in the schema of the output, which is a part of the agent's definition, which every decision keeps. So a decision of an
agent that is long gone still says which of its numbers are euros and which weighs most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

if TYPE_CHECKING:
    from pilothouse.agents.capsules import Capsule, Kept

Unit = Literal["EUR", "share", "days", "count", "name"]
_MARK: Final = "figure"


@dataclass(frozen=True)
class Figure:
    """One number of a decision: what people call it, and in what it is counted. By the one that weighs, the dearest are found. Or a name
    by which people know what it is about: it is shown, and is no part of why (docs/decisions/0020)."""

    name: str
    words: str
    unit: Unit
    place: int  # among the figures of its output
    weighs: bool = False

    def of(self, output: Mapping[str, Any]) -> Any:
        """Its value in what was decided."""
        return output.get(self.name)

    def shown(self, output: Mapping[str, Any]) -> str:
        """The value as people write it; empty where nothing is known."""
        value = self.of(output)
        if value is None:
            return ""
        match self.unit:
            case "EUR":
                return f"{_number(value):,.2f} EUR"
            case "share":
                return f"{_number(value):.1%}"
            case "days":
                return f"{_number(value):,.0f} days"
            case "count":
                return f"{_number(value):,.0f}"
            case "name":
                return " ".join(str(value).split())  # people type it elsewhere, and a page has one line for it


def figure(place: int, words: str, unit: Unit, *, weighs: bool = False) -> dict[str, Any]:
    """For `json_schema_extra` of a field of an output. Its place is told: a definition is kept with its names in order."""
    return {_MARK: {"place": place, "words": words, "unit": unit, "weighs": weighs}}


def figures(definition: Mapping[str, Any]) -> tuple[Figure, ...]:
    """The figures of an agent, by its definition, in their order."""
    fields = definition.get("output", {}).get("properties", {})
    return tuple(sorted((Figure(name, **said[_MARK]) for name, said in fields.items() if _MARK in said), key=lambda each: each.place))


def figures_of(kept: Kept, decisions: Iterable[Capsule]) -> dict[str, tuple[Figure, ...]]:
    """The figures of decisions, by the digest of each: definitions are shared, so few are read."""
    named = {each.digest: each.blobs.get("agent") for each in decisions}
    known = {each: figures(msgspec.json.decode(kept.blob(each))) for each in set(named.values()) if each is not None}
    return {decision: () if definition is None else known[definition] for decision, definition in named.items()}


def weight(known: Sequence[Figure], output: Mapping[str, Any]) -> Decimal:
    """How much a decision weighs beside others."""
    return max((_number(value) for each in known if each.weighs and (value := each.of(output)) is not None), default=Decimal(0))


def first(known: Sequence[Figure], unit: Unit, output: Mapping[str, Any]) -> str:
    """The first figure of that unit as people write it."""
    return next((told for each in known if each.unit == unit and (told := each.shown(output))), "")


def _number(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return Decimal(0)
