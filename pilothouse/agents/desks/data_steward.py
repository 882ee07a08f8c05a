"""Looks after the data: proposes what to say of records that may be one firm, and which held rows to release.

It reads two things. Pairs of records of which likeness is not sure, on either side of the line: what joins or parts them, and whether
they are taken as one firm. And rows that a rule holds back: how many, which values they have, and whether their source has brought a
newer version since. It proposes writes into Pilothouse itself (`assets/own_records.py`): a word about a pair, which can be taken back,
and a release, which cannot. It proposes no new rules, and nothing about changed schemas: those are not in the lake before somebody
accepts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, Field

from pilothouse.agents.agent import Agent, Request, Rounds
from pilothouse.agents.brains.language import Wording
from pilothouse.agents.figures import figure
from pilothouse.agents.policy import Facts, Policy, confidence
from pilothouse.agents.proposed import Proposed, proposed_in
from pilothouse.agents.tools import Calls
from pilothouse.agents.toolset import stewardship
from pilothouse.agents.toolset.stewardship import HELD_ROWS, PAIR_OF_RECORDS, OfHeld, OfPair, asked_about
from pilothouse.agents.trials.property import Property, Trials, Try

if TYPE_CHECKING:
    from models.trees import Decision
    from pilothouse.agents.trials.case import Decided

INSTRUCTIONS: Final = """\
Decide on a doubt about data. Of two records that may be one firm: split what is wrongly taken as one, confirm what rightly is, merge what
is wrongly taken as two, keep apart what rightly is. A tax number says more than a name, a name at one place more than either alone.
Of rows that a rule holds back: release them where the rule is plainly behind the world, say mend where their source has to correct
them, and leave them where a newer version went through. A release cannot be taken back. Where nothing settles it, ask a person."""
Action = Literal["split", "confirm", "merge", "keep_apart", "release", "mend", "leave", "ask"]
# What likeness compares, in the order in which it is told, and which part of a record shows it. An order of our own: that of what a
# tool answered is not kept.
_COMPARED: Final = {"name": "name", "tax_number": "tax_number", "street": "street", "place": "city", "industry": ""}
VERDICTS: Final = {"split": "different", "keep_apart": "different", "confirm": "same", "merge": "same"}
_APART: Final = {True: ("split", "confirm"), False: ("merge", "keep_apart")}  # what can be said of a pair that is, or is not, one firm


class StewardDecision(BaseModel):
    """What the steward decided, and why."""

    action: Action
    about: str = Field(description="the records or the rule, in words")
    probability: float | None = Field(
        description="of two records, that they are one firm by likeness", json_schema_extra=figure(1, "one firm by likeness", "share")
    )
    rows: int | None = Field(description="rows that are held back", json_schema_extra=figure(2, "held rows", "count", weighs=True))
    reasons: list[str] = Field(min_length=1, description="in plain words, the weightiest first")
    confidence: float = Field(ge=0, le=1)
    otherwise: dict[str, Any] | None = Field(description="the nearest other decision, and what would have to change for it")
    terms: dict[str, Any]
    path: list[dict[str, Any]] = Field(description="the way through the tree, with each condition and the value seen")
    records: list[dict[str, Any]] = Field(description="the two records, as they are written")
    values: list[dict[str, Any]] = Field(description="the commonest values of held rows")
    proposal: Proposed | None


class Judgement(BaseModel):
    """What a language model is asked for: the rest of a decision is made of facts."""

    action: Action = Field(
        description="of two records: split, confirm, merge, keep_apart or ask; of held rows: release, mend, leave or ask"
    )
    reasons: list[str] = Field(min_length=1, max_length=6, description="in plain words, the weightiest first")
    confidence: float = Field(ge=0, le=1, description="how sure this is, from 0 to 1")
    other_action: Action | None = Field(None, description="the action that was nearest to being taken instead")
    what_would_change_it: str = Field("", description="the smallest change of facts that would have led to that action")


def _gather(request: Request, calls: Calls) -> Facts:
    asked = asked_about(request.subject.partition("/")[2].partition("/")[2])
    if isinstance(asked, OfPair):
        pair = calls.call("pair", asked.model_dump())
        told = {f"pair.{name}": pair["evidence"].get(name) for name in ("name", "tax_number", "place")}
        said = {"pair.together": pair["together"], "pair.said": pair["said"], "pair.probability": round(pair["probability"], 4)}
        return {"kind": "doubt", **told, **said, "asked": asked, "pair": pair, "held": {}}
    held = calls.call("held_rows", asked.model_dump())
    numbers = {"held.rows": 0} if not held["rejections"] else _numbers(held)
    return {"kind": "held", **numbers, "asked": asked, "pair": {}, "held": held}


def _numbers(held: Mapping[str, Any]) -> dict[str, Any]:
    count, most = held["rejections"], max((each["count"] for each in held["values"]), default=0)
    shares = {"held.missing_share": round(held["missing"] / count, 2), "held.common_share": round(most / count, 2)}
    return {"held.rows": held["rows"], "held.replaced": held["replaced"], **shares}


def _tell(decision: Decision, facts: Facts, request: Request) -> Mapping[str, Any]:  # noqa: ARG001 - a policy's signature
    sure, other = confidence(decision, facts)
    judged = {"action": decision.action, "reasons": [decision.reason, *_reasons(facts)], "confidence": sure, "otherwise": other}
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
    asked, pair, held = facts["asked"], facts["pair"], facts["held"]
    doubt = isinstance(asked, OfPair)
    return {
        "about": f"{asked.left} and {asked.right}" if doubt else f"{asked.source}/{asked.stream}: {asked.rule}",
        "probability": pair["probability"] if doubt else None,
        "rows": None if doubt else held["rows"] if held["rejections"] else 0,
        "records": [{"record": getattr(asked, side), **pair[side]} for side in ("left", "right")] if doubt else [],
        "values": held["values"] if not doubt and held["rejections"] else [],
        "proposal": _word(action, reason, asked, pair) if doubt else _release(action, reason, asked, held),
    }


def _reasons(facts: Facts) -> Iterator[str]:
    pair, held = facts["pair"], facts["held"]
    if pair:
        yield f"Likeness makes it {pair['probability']:.2%} likely that they are one firm"
        for name, shown in _COMPARED.items():
            if name in pair["evidence"]:
                written = " | ".join(pair[side].get(shown) or "-" for side in ("left", "right"))
                yield f"{name.replace('_', ' ').capitalize()}: {pair['evidence'][name]}" + (f" ({written})" if shown else "")
    elif held["rejections"]:
        yield f"{held['rows']} rows since {held['since'][:10]}, {held['missing']} of them without a value in {held['column']}"
        if held["values"]:
            commonest = ", ".join(f"{each['value']!r} {each['count']} times" for each in held["values"][:3])
            yield f"The commonest values: {commonest}"
        if held["replaced"]:
            yield f"Newer versions of {held['replaced']} of them went through since"


def _word(action: str, reason: str, asked: OfPair, pair: Mapping[str, Any]) -> dict[str, Any] | None:
    """A word about a pair, where it can be said of it as it stands."""
    if action not in _APART[pair["together"]]:
        return None
    identity = {"left": asked.left, "right": asked.right}
    values, seen = {"verdict": VERDICTS[action]}, {"verdict": pair["said"] or ""}
    return _proposed("firm_pair", identity, values, seen, reason) if values != seen else None


def _release(action: str, reason: str, asked: OfHeld, held: Mapping[str, Any]) -> dict[str, Any] | None:
    """The rows that were seen and no later ones: what is held back after this was decided nobody has looked at."""
    if action != "release" or not held["rejections"]:
        return None
    identity = {**asked.model_dump(), "until": held["until"]}
    return _proposed("held_rows", identity, {"status": "released"}, {"status": "open"}, reason)


def _proposed(record: str, identity: Mapping[str, str], values: Mapping[str, str], seen: Mapping[str, str], reason: str) -> dict[str, Any]:
    # It moves no money: whoever may approve at all may approve it.
    written = {"identity": identity, "values": values, "seen": seen, "amount": Decimal(0), "reason": reason}
    return {"target": "pilothouse", "record": record, **written}


def _speaks_of_what_was_asked(decided: Decided, _: Try) -> Iterator[str]:
    key = decided.case.request.subject.partition("/")[2].partition("/")[2]
    asked = asked_about(key)
    for each in proposed_in(decided.output):
        wanted = VERDICTS.get(decided.action) if isinstance(asked, OfPair) else {"release": "released"}.get(decided.action)
        if wanted not in each.values.values():
            yield f"{decided.action} proposes {each.values}"
        if each.target != "pilothouse" or {**each.identity, **asked.model_dump()} != each.identity:
            yield f"it proposes to write {each.target}/{each.record} {each.identity}, which it was not asked about"


DATA_STEWARD: Final = Agent(
    name="data_steward",
    description="Looks after the data: whether doubtful records are one firm, and which held rows are to be released.",
    instructions=INSTRUCTIONS,
    subject="pilothouse/data",
    tools=(PAIR_OF_RECORDS, HELD_ROWS),
    permissions=frozenset({"stewardship"}),
    output=StewardDecision,
    brain=Policy("stewardship", _gather, _tell),
    tables=(
        *(stewardship.LINKS, stewardship.MEMBERS, stewardship.PARTIES, stewardship.SAID),
        *(stewardship.QUARANTINES, stewardship.RAW),
    ),
    rounds=Rounds(find=stewardship.what_is_unsure, why="it is held back by a rule, or likeness is not sure of it"),
    approvers=("data_steward",),
    wording=Wording(Judgement, _gather, _put),
    trials=Trials(
        cases=Path(__file__).with_name("data_steward.cases.yaml"),
        properties=(
            Property(name="it speaks of what it was asked about, and says what its action says", violations=_speaks_of_what_was_asked),
        ),
    ),
    owner="team:data",
)
