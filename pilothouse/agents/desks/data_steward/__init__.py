"""Looks after the data: proposes what to say of records that may be one firm, which held rows to release, which rules to change, and
which changed schemas to accept.

It reads three kinds of things (`MATTERS`). Pairs of records of which likeness is not sure, on either side of the line: what joins or
parts them, and whether they are taken as one firm. Rows that a rule holds back: how many, which values they have, whether their source
has brought a newer version since, and what the rule would have to take to let them pass. And streams that are not loaded because their
source describes them otherwise than before: each difference, what of ours reads the column, and what the policy says.

It proposes writes into Pilothouse itself (`assets/own_records`): a word about a pair and other arguments of a declared rule, which can
be taken back; a release, which cannot; and that a schema is accepted, which can until something was loaded by it. It proposes no rule
that is not declared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, Field

from pilothouse.agents.agent import Agent, Request, Rounds
from pilothouse.agents.brains.language import Wording
from pilothouse.agents.desks.data_steward.drift import Drift
from pilothouse.agents.desks.data_steward.held import Held
from pilothouse.agents.desks.data_steward.matter import Matter
from pilothouse.agents.desks.data_steward.pairs import Pairs
from pilothouse.agents.figures import figure
from pilothouse.agents.policy import Facts, Policy, confidence
from pilothouse.agents.proposed import Proposed, proposed_in
from pilothouse.agents.snapshot import Snapshot
from pilothouse.agents.tools import Calls
from pilothouse.agents.toolset.stewardship import Asked
from pilothouse.agents.trials.property import Property, Trials, Try
from pilothouse.kernel.errors import ToolFailed

if TYPE_CHECKING:
    from models.trees import Decision
    from pilothouse.agents.trials.case import Decided

INSTRUCTIONS: Final = """\
Decide on a doubt about data. Of two records that may be one firm: split what is wrongly taken as one, confirm what rightly is, merge what
is wrongly taken as two, keep apart what rightly is. A tax number says more than a name, a name at one place more than either alone.
Of rows that a rule holds back: change the rule where it is plainly behind the world and a wider one would take them, release them where
it takes them by now or cannot be widened, say mend where their source has to correct them, and leave them where a newer version went
through. A release cannot be taken back, a change can.
Of a stream that its source describes otherwise than before: accept that where nothing of ours reads what has changed, say mend where
the policy lets nobody accept it, so that its source has to go back. Where nothing settles it, ask a person."""
Action = Literal["split", "confirm", "merge", "keep_apart", "release", "change", "mend", "leave", "accept", "ask"]
# In the order in which a round takes them up: a stream that is not loaded at all weighs more than rows of one that is.
MATTERS: Final[tuple[Matter[Any], ...]] = (Drift(), Held(), Pairs())
_BY_PREFIX: Final = {each.asked.PREFIX: each for each in MATTERS}


class StewardDecision(BaseModel):
    """What the steward decided, and why."""

    action: Action
    about: str = Field(description="the records, the rule or the stream, in words")
    probability: float | None = Field(
        None, description="of two records, that they are one firm by likeness", json_schema_extra=figure(1, "one firm by likeness", "share")
    )
    rows: int | None = Field(None, description="rows that are held back", json_schema_extra=figure(2, "held rows", "count", weighs=True))
    reasons: list[str] = Field(min_length=1, description="in plain words, the weightiest first")
    confidence: float = Field(ge=0, le=1)
    otherwise: dict[str, Any] | None = Field(description="the nearest other decision, and what would have to change for it")
    terms: dict[str, Any]
    path: list[dict[str, Any]] = Field(description="the way through the tree, with each condition and the value seen")
    records: list[dict[str, Any]] = Field([], description="the two records, as they are written")
    values: list[dict[str, Any]] = Field([], description="the commonest values of held rows")
    rule: dict[str, Any] | None = Field(None, description="the rule that holds rows back, as it is in force")
    differences: list[dict[str, Any]] = Field([], description="how a source describes a stream otherwise, and what reads each column")
    proposal: Proposed | None


class Judgement(BaseModel):
    """What a language model is asked for: the rest of a decision is made of facts."""

    action: Action = Field(
        description="of two records: split, confirm, merge, keep_apart or ask; of held rows: release, change, mend, leave or ask; "
        "of a changed stream: accept, mend, leave or ask"
    )
    reasons: list[str] = Field(min_length=1, max_length=6, description="in plain words, the weightiest first")
    confidence: float = Field(ge=0, le=1, description="how sure this is, from 0 to 1")
    other_action: Action | None = Field(None, description="the action that was nearest to being taken instead")
    what_would_change_it: str = Field("", description="the smallest change of facts that would have led to that action")


def asked_about(key: str) -> tuple[Matter[Any], Asked]:
    """What a key of a subject names; ToolFailed where it names nothing of the kind."""
    prefix, _, rest = key.partition(":")
    matter = _BY_PREFIX.get(prefix)
    asked = None if matter is None else matter.asked.named(rest)
    if matter is None or asked is None:
        raise ToolFailed(
            f"'{key}' names nothing that a steward decides on",
            hint="such as doubt:crm:001J800=s4:10100001, held:s4:sales_order:RULE, or drift:s4:sales_order",
        )
    return matter, asked


def what_is_unsure(snapshot: Snapshot, at: datetime) -> list[str]:
    """What a steward has to look at, the weightiest kind first."""
    return [key for matter in MATTERS for key in matter.find(snapshot, at)]


def _key(request: Request) -> str:
    return request.subject.partition("/")[2].partition("/")[2]


def _gather(request: Request, calls: Calls) -> Facts:
    matter, asked = asked_about(_key(request))
    told = calls.call(matter.tool.name, asked.model_dump())
    return {"kind": matter.asked.PREFIX, **matter.facts(told), "matter": matter, "asked": asked, "told": told}


def _tell(decision: Decision, facts: Facts, request: Request) -> Mapping[str, Any]:  # noqa: ARG001 - a policy's signature
    sure, other = confidence(decision, facts)
    reasons = [decision.reason, *facts["matter"].reasons(facts["asked"], facts["told"])]
    judged = {"action": decision.action, "reasons": reasons, "confidence": sure, "otherwise": other}
    way = {"terms": dict(decision.terms), "path": decision.as_json()["path"]}
    return judged | way | _facts_of(decision.action, decision.reason, facts)


def _put(judged: Judgement, facts: Facts, request: Request) -> Mapping[str, Any]:  # noqa: ARG001 - a wording's signature
    """What a language model judged, with the record and the write that no model has a say in."""
    other: dict[str, Any] | None = (
        None if judged.other_action is None else {"action": judged.other_action, "changes": [], "words": judged.what_would_change_it}
    )
    said = {"action": judged.action, "reasons": judged.reasons, "confidence": judged.confidence, "otherwise": other}
    return said | {"terms": {}, "path": []} | _facts_of(judged.action, judged.reasons[0], facts)


def _facts_of(action: str, reason: str, facts: Facts) -> dict[str, Any]:
    """What a decision holds whichever way it was come to."""
    matter, asked, told = facts["matter"], facts["asked"], facts["told"]
    write = matter.write(action, asked, told)
    # It moves no money: whoever may approve at all may approve it.
    proposal = None if write is None else {"target": "pilothouse", **vars(write), "amount": Decimal(0), "reason": reason}
    return {"about": matter.about(asked), **matter.shown(asked, told), "proposal": proposal}


def _speaks_of_what_was_asked(decided: Decided, _: Try) -> Iterator[str]:
    matter, asked = asked_about(_key(decided.case.request))
    for each in proposed_in(decided.output):
        wanted = matter.writes.get(decided.action, {})
        if each.values.keys() != wanted.keys() or any(value not in (None, each.values[name]) for name, value in wanted.items()):
            yield f"{decided.action} proposes {each.values}"
        if each.target != "pilothouse" or {**each.identity, **asked.model_dump()} != each.identity:
            yield f"it proposes to write {each.target}/{each.record} {each.identity}, which it was not asked about"


DATA_STEWARD: Final = Agent(
    name="data_steward",
    description="Looks after the data: whether doubtful records are one firm, which held rows may pass, which rules and schemas changed.",
    instructions=INSTRUCTIONS,
    subject="pilothouse/data",
    tools=tuple(each.tool for each in MATTERS),
    permissions=frozenset({"stewardship"}),
    output=StewardDecision,
    brain=Policy("stewardship", _gather, _tell),
    tables=tuple(table for each in MATTERS for table in each.tables),
    wakes_on=tuple(topic for each in MATTERS for topic in each.wakes_on),
    rounds=Rounds(find=what_is_unsure, why="it is held back, by a rule or as a changed schema, or likeness is not sure of it"),
    approvers=("data_steward",),
    wording=Wording(Judgement, _gather, _put),
    trials=Trials(
        cases=Path(__file__).parents[1] / "data_steward.cases.yaml",
        properties=(
            Property(name="it speaks of what it was asked about, and says what its action says", violations=_speaks_of_what_was_asked),
        ),
    ),
    owner="team:data",
)
