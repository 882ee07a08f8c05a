"""A write that an agent proposes. It is a part of what the agent decided: what becomes of it is for people to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from pilothouse.kernel.errors import AgentError


class Proposed(BaseModel):
    """A write that a person may approve."""

    target: str = Field(description="the source it is written to")
    record: str
    identity: dict[str, str] = Field(description="the key of the record; empty where one is created")
    values: dict[str, str]
    seen: dict[str, str] = Field(default_factory=dict, description="the same fields as they were when this was decided")
    amount: Decimal | None = Field(None, description="what it is about; unknown, it takes whoever may approve any amount")
    reason: str = ""


def proposed_in(output: Mapping[str, Any]) -> Iterator[Proposed]:
    """What a decision proposes: under `proposal` one write or none, under `proposals` any number. AgentError where it is no write."""
    for each in (output.get("proposal"), *output.get("proposals", ())):
        if each is None:
            continue
        try:
            yield Proposed.model_validate(each)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "proposal"
            raise AgentError(
                f"what it proposes is no write: {where}: {first['msg']}", hint="mend what the agent tells of a decision"
            ) from error
