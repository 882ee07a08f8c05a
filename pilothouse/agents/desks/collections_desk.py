"""Decides on each firm that owes overdue invoices: wait, remind it, call, or hand the case over; and which invoice to name first.

Expected return of an invoice = what is open of it, in euros, x the chance that it is paid within 30 days. The chance is that of the
payment model in force (`model/cash_in`) for an invoice of that age and a firm of that habit; the habit is read from the invoices that
the firm has settled by then (`toolset/receivables.py`). Where no model is in force nothing is expected: there is no figure, and the
oldest invoices come first. What a call adds to that nobody has measured yet, so no figure pretends to know it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, Field

from pilothouse.agents.agent import Agent, Request, Rounds
from pilothouse.agents.brains.language import Wording
from pilothouse.agents.figures import figure
from pilothouse.agents.policy import Facts, Policy, confidence
from pilothouse.agents.proposed import Proposed, proposed_in
from pilothouse.agents.tools import Calls
from pilothouse.agents.toolset import receivables
from pilothouse.agents.toolset.firms import FIRM, GROUP, OPEN_CASES
from pilothouse.agents.toolset.receivables import CHANCES, OVERDUE, SALES_ACCOUNTS
from pilothouse.agents.trials.property import Property, Trials, Try

if TYPE_CHECKING:
    from models.trees import Decision
    from pilothouse.agents.trials.case import Decided

INSTRUCTIONS: Final = """\
Decide what is done about a firm that owes overdue invoices: wait, remind it in writing, call it, or hand the case over to a lawyer.
Weigh what is not expected to come by itself against the time that a call takes and the goodwill that it costs.
Wait where it is a matter of days, as this firm usually pays, and while a complaint of it is open that is not old: nobody pays before that
is settled. Call where much is at stake or it has dragged on. Hand over what is so old that our asking again brings little."""
Action = Literal["wait", "remind", "call", "hand_over"]
SUBJECTS: Final = {"remind": "Send a payment reminder", "call": "Call about overdue invoices", "hand_over": "Hand over to collection"}
PRIORITIES: Final = {"remind": "Low", "call": "High", "hand_over": "Normal"}
_SOON: Final = {"remind": 3, "call": 2, "hand_over": 5}  # days within which it is to be done, unless the tree says
_DISPUTES: Final = frozenset({"Complaint", "Billing"})
_OLD: Final = 120  # days, from which on asking again brings little: the fact old_eur
_NAMED: Final = 12  # invoices that a task spells out
_CENT: Final = Decimal("0.01")


class Chased(BaseModel):
    """One overdue invoice, in its place among those to be named."""

    invoice_id: str
    order_id: str | None
    days_overdue: int
    open_eur: Decimal
    chance: float | None = Field(description="that it is paid within 30 days as things are")
    expected_eur: Decimal | None = Field(description="open_eur x chance")


class CollectionsDecision(BaseModel):
    """What the desk decided about a firm, and why."""

    action: Action
    overdue_eur: Decimal = Field(description="open of its overdue invoices", json_schema_extra=figure(1, "overdue", "EUR"))
    expected_eur: Decimal | None = Field(
        description="of that, what is expected within 30 days as things are", json_schema_extra=figure(2, "expected in 30 days", "EUR")
    )
    at_stake_eur: Decimal | None = Field(
        description="the rest: what will not come by itself", json_schema_extra=figure(3, "at stake", "EUR", weighs=True)
    )
    chance: float | None = Field(
        description="expected_eur as a share of overdue_eur", json_schema_extra=figure(4, "expected of it", "share")
    )
    oldest_days: int = Field(description="days for which the oldest is overdue", json_schema_extra=figure(5, "oldest overdue for", "days"))
    invoices: list[Chased] = Field(description="in the order in which to name them: what brings most comes first")
    reasons: list[str] = Field(min_length=1, description="in plain words, the weightiest first")
    confidence: float = Field(ge=0, le=1)
    otherwise: dict[str, Any] | None = Field(description="the nearest other decision, and what would have to change for it")
    terms: dict[str, Any]
    path: list[dict[str, Any]] = Field(description="the way through the tree, with each condition and the value seen")
    firm_id: str
    firm: str = Field(description="what people call it", json_schema_extra=figure(6, "firm", "name"))
    open_cases: int
    account_id: str | None = Field(description="the account in Salesforce that a task is about")
    proposal: Proposed | None


class Judgement(BaseModel):
    """What a language model is asked for: the rest of a decision is made of facts."""

    action: Action = Field(description="wait: do nothing this week; remind: in writing; call; hand_over: to whoever collects for us")
    reasons: list[str] = Field(min_length=1, max_length=6, description="in plain words with their figures, the weightiest first")
    confidence: float = Field(ge=0, le=1, description="how sure this is, from 0 to 1")
    other_action: Action | None = Field(None, description="the action that was nearest to being taken instead")
    what_would_change_it: str = Field("", description="the smallest change of facts that would have led to that action")


def _gather(request: Request, calls: Calls) -> Facts:
    firm_id, on = request.subject.rpartition("/")[2], request.at.date().isoformat()
    firm = calls.call("firm", {"firm_id": firm_id})
    overdue = calls.call("overdue_invoices", {"firm_id": firm_id, "on": on})
    paying = calls.call("payment_chances", {"firm_id": firm_id, "on": on})
    cases = calls.call("open_cases", {"firm_id": firm_id})
    group = calls.call("group", {"firm_id": firm_id})
    accounts = calls.call("sales_accounts", {"firm_id": firm_id})
    chased = _in_order(overdue, paying["chances"])
    owed = sum((each["open_eur"] for each in chased), Decimal(0))
    expected = sum((each["expected_eur"] for each in chased), Decimal(0)) if paying["known"] else None
    return {
        "overdue_eur": str(owed),
        "invoices": len(chased),
        "old_eur": str(sum((each["open_eur"] for each in chased if each["days_overdue"] > _OLD), Decimal(0))),
        "oldest_days": max((each["days_overdue"] for each in chased), default=0),
        "chance": round(float(expected / owed), 3) if expected is not None and owed else None,
        "expected_eur": None if expected is None else str(expected),
        "at_stake_eur": None if expected is None else str(owed - expected),
        "settled": paying["settled"],
        "usual_days_late": paying["usual_days_late"],
        "late_share": paying["late_share"],
        "complaints": sum(each["case_type"] in _DISPUTES for each in cases),
        "graph.group_overdue": group.get("group_overdue_eur"),
        "firm": firm,
        "chased": chased,
        "cases": cases,
        "accounts": accounts,
    }


def _in_order(overdue: Sequence[Mapping[str, Any]], chances: Mapping[str, float]) -> list[dict[str, Any]]:
    """The invoices with what each is expected to bring, those that bring most first; where nobody knows, the oldest first."""
    found = []
    for each in overdue:
        chance, owed = chances.get(each["invoice_id"]), Decimal(each["open_eur"])
        expected = None if chance is None else (owed * Decimal(repr(chance))).quantize(_CENT, ROUND_HALF_UP)
        told = {name: each[name] for name in ("invoice_id", "order_id", "days_overdue")}
        found.append({**told, "open_eur": owed, "chance": chance, "expected_eur": expected})
    return sorted(found, key=lambda each: (-(each["expected_eur"] or 0), -each["days_overdue"], each["invoice_id"]))


def _tell(decision: Decision, facts: Facts, request: Request) -> Mapping[str, Any]:
    sure, other = confidence(decision, facts)
    judged = {"action": decision.action, "reasons": _reasons(decision.reason, facts), "confidence": sure, "otherwise": other}
    way = {"terms": dict(decision.terms), "path": decision.as_json()["path"]}
    return judged | way | _facts_of(decision.action, decision.reason, decision.terms, facts, request)


def _put(judged: Judgement, facts: Facts, request: Request) -> Mapping[str, Any]:
    """What a language model judged, with the figures, the order of invoices and the task that no model has a say in."""
    other: dict[str, Any] | None = (
        None if judged.other_action is None else {"action": judged.other_action, "changes": [], "words": judged.what_would_change_it}
    )
    said = {"action": judged.action, "reasons": judged.reasons, "confidence": judged.confidence, "otherwise": other}
    return said | {"terms": {}, "path": []} | _facts_of(judged.action, judged.reasons[0], {}, facts, request)


def _facts_of(action: str, reason: str, terms: Mapping[str, Any], facts: Facts, request: Request) -> dict[str, Any]:
    """What a decision holds whichever way it was come to."""
    return {
        **{name: facts[name] for name in ("overdue_eur", "expected_eur", "at_stake_eur", "chance", "oldest_days")},
        "invoices": facts["chased"],
        "firm_id": facts["firm"]["firm_id"],
        "firm": facts["firm"]["name"],
        "open_cases": len(facts["cases"]),
        "account_id": facts["accounts"][0]["account_id"] if facts["accounts"] else None,
        "proposal": _proposal(action, reason, int(terms.get("within_days", _SOON.get(action, 0))), facts, request),
    }


def _reasons(word: str, facts: Facts) -> list[str]:
    """The tree's word, then what is owed, what is expected of it and why, and what stands beside it."""
    told, owed = [word], Decimal(facts["overdue_eur"])
    if facts["invoices"]:
        count = f"{facts['invoices']} invoices are" if facts["invoices"] > 1 else "one invoice is"
        told.append(f"{owed:,.0f} EUR of {count} overdue, the oldest for {facts['oldest_days']} days")
    if facts["expected_eur"] is not None and facts["invoices"]:
        told.append(
            f"{Decimal(facts['expected_eur']):,.0f} EUR of it are expected within {receivables.DAYS} days"
            f" ({facts['chance']:.0%}), {Decimal(facts['at_stake_eur']):,.0f} EUR are not"
        )
    if facts["settled"]:
        days = int(facts["usual_days_late"])
        when = f"{days} days after" if days > 0 else f"{-days} days before" if days < 0 else "on"
        told.append(f"It usually pays {when} the due date; about {facts['late_share']:.0%} of its invoices came more than a month late")
    else:
        told.append("It has not settled any invoice yet")
    if facts["complaints"]:
        told.append(f"{facts['complaints']} open complaint{'s' if facts['complaints'] > 1 else ''} in Salesforce")
    group = facts["graph.group_overdue"]
    if group is not None and Decimal(str(group)) > owed:
        told.append(f"Its whole group owes {Decimal(str(group)):,.0f} EUR that is overdue")
    return told


def _proposal(action: str, reason: str, days: int, facts: Facts, request: Request) -> dict[str, Any] | None:
    """A task for whoever owns the account in Salesforce; none where there is no account, and none where nothing is to be done."""
    if action not in SUBJECTS or not facts["accounts"]:
        return None
    account = facts["accounts"][0]
    values = {
        "Subject": f"{SUBJECTS[action]}: {facts['firm']['name']}, {Decimal(facts['overdue_eur']):,.2f} EUR",
        "Description": "\n".join([*_reasons(reason, facts), "", *_spelt_out(facts["chased"])]),
        "WhatId": account["account_id"],
        "Status": "Not Started",
        "Priority": PRIORITIES[action],
        "ActivityDate": (request.at.date() + timedelta(days=days)).isoformat(),
        **({"OwnerId": account["owner_id"]} if account["owner_id"] else {}),
    }
    # A task moves no money: whoever may approve at all may approve it, whatever the firm owes.
    return {"target": "crm", "record": "Task", "identity": {}, "values": values, "amount": Decimal(0), "reason": reason}


def _spelt_out(chased: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for place, each in enumerate(chased[:_NAMED], 1):
        expected = "" if each["expected_eur"] is None else f", {each['expected_eur']:,.2f} EUR expected within {receivables.DAYS} days"
        yield f"{place}. Invoice {each['invoice_id']}: {each['open_eur']:,.2f} EUR, {each['days_overdue']} days overdue{expected}"
    if len(chased) > _NAMED:
        yield f"... and {len(chased) - _NAMED} more"


def _names_overdue_invoices(decided: Decided, _: Try) -> Iterator[str]:
    answered = {each["invoice_id"]: each for each in _answer(decided, "overdue_invoices")}
    said = decided.output["invoices"]
    if {each["invoice_id"] for each in said} != answered.keys():
        yield "its invoices are not those that are overdue"
    known = [(each, answered[each["invoice_id"]]) for each in said if each["invoice_id"] in answered]
    if any(Decimal(each["open_eur"]) != Decimal(its["open_eur"]) for each, its in known):
        yield "it says another amount of an invoice than overdue_invoices does"
    expected = [Decimal(each["expected_eur"]) for each in said if each["expected_eur"] is not None]
    if expected != sorted(expected, reverse=True):
        yield "an invoice that brings more is named after one that brings less"


def _tasks_for_the_owner(decided: Decided, _: Try) -> Iterator[str]:
    accounts = {each["account_id"]: each["owner_id"] for each in _answer(decided, "sales_accounts")}
    for each in proposed_in(decided.output):
        if decided.action not in SUBJECTS:
            yield f"{decided.action} proposes {each.record}"
        if (each.target, each.record, each.identity) != ("crm", "Task", {}):
            yield f"it proposes to write {each.target}/{each.record} {each.identity}, and not a new task"
        elif accounts.get(each.values.get("WhatId", ""), "") != each.values.get("OwnerId"):
            yield "the task is not for whoever owns an account of the firm"


def _answer(decided: Decided, tool: str) -> Sequence[Mapping[str, Any]]:
    return next((each.answer for each in decided.case.answers if each.tool == tool), [])


COLLECTIONS_DESK: Final = Agent(
    name="collections_desk",
    description="Decides what is done about each firm with overdue invoices: wait, remind, call, or hand over; and which to name first.",
    instructions=INSTRUCTIONS,
    subject="pilothouse/firm",
    tools=(FIRM, OVERDUE, CHANCES, OPEN_CASES, GROUP, SALES_ACCOUNTS),
    permissions=frozenset({"firms", "receivables", "cases"}),
    output=CollectionsDecision,
    brain=Policy("collections", _gather, _tell),
    tables=(
        *("marts/dim_firm", receivables.INVOICES, "marts/fct_case", receivables.ACCOUNTS, receivables.OWNERS_OF_ACCOUNTS),
        *(receivables.CASH, "graph/firm_measures"),
    ),
    awaits={"marts/dim_firm": "firm_id", receivables.INVOICES: "firm_id"},
    rounds=Rounds(find=receivables.firms_with_overdue_invoices, why="it owes overdue invoices"),
    wording=Wording(Judgement, _gather, _put),
    trials=Trials(
        cases=Path(__file__).with_name("collections_desk.cases.yaml"),
        properties=(
            Property(name="the overdue invoices are named, what brings most first", violations=_names_overdue_invoices),
            Property(name="a task is about an account of the firm, for whoever owns it", violations=_tasks_for_the_owner),
        ),
    ),
    owner="team:finance-data",
)
