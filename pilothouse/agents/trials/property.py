"""What must hold of every decision, whatever the case: rules that no single case can prove, tried on all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pilothouse.agents.proposed import proposed_in

if TYPE_CHECKING:
    from pilothouse.agents.trials.case import Case, Decided

Try: TypeAlias = "Callable[[Case], Decided]"


@dataclass(frozen=True, kw_only=True)
class Property:
    """One rule. `violations` is told what was decided on a case, and may try changed ones."""

    name: str
    violations: Callable[[Decided, Try], Iterator[str]]
    dear: bool = False  # it tries changed cases: each a call of a model, where a model decides


@dataclass(frozen=True, kw_only=True)
class Trials:
    """What an agent is tried by: its own cases and rules, beside those of people and of every agent."""

    cases: Path
    properties: tuple[Property, ...] = ()


def _says_synthetic(decided: Decided, _: Try) -> Iterator[str]:
    assert decided.run is not None
    rows = [row for each in decided.case.answers for row in (each.answer if isinstance(each.answer, list) else [each.answer])]
    true = any(isinstance(row, Mapping) and row.get("_synthetic") for row in rows)
    if true and not decided.run.synthetic:
        yield "it rests on synthetic rows and does not say so"


def _has_reasons(decided: Decided, _: Try) -> Iterator[str]:
    if not any(str(each).strip() for each in decided.output.get("reasons", [])):
        yield "it gives no reason"


EVERYWHERE: Final = (
    Property(name="what rests on synthetic rows says so", violations=_says_synthetic),
    Property(name="there is a reason", violations=_has_reasons),
)


def never_milder(tool: str, name: str, values: tuple[float, ...], severity: tuple[str, ...]) -> Property:
    """The higher what a tool answers, the same or a harsher action: whoever looks worse is never treated better."""

    def violations(decided: Decided, again: Try) -> Iterator[str]:
        answered = next((each.answer for each in decided.case.answers if each.tool == tool), None)
        if not isinstance(answered, Mapping) or answered.get(name) is None:
            return
        harshest, at = -1, 0.0
        for value in values:
            action = again(decided.case.changed(tool, **{name: value})).action
            if action not in severity:
                yield f"with {name} = {value:g} it comes to no decision"
            elif severity.index(action) < harshest:
                yield f"with {name} = {value:g} it decides {action}, with {at:g} {severity[harshest]}"
            else:
                harshest, at = severity.index(action), value

    return Property(name=f"a higher {name} never leads to a milder action", violations=violations, dear=True)


def proposes_only(allowed: Mapping[str, Mapping[str, Any]]) -> Property:
    """Each action proposes what belongs to it, and an action that is not named proposes nothing: no text leads to another write."""

    def violations(decided: Decided, _: Try) -> Iterator[str]:
        for proposal in proposed_in(decided.output):
            if decided.action not in allowed:
                yield f"{decided.action} proposes {proposal.values}"
            elif proposal.values != allowed[decided.action]:
                yield f"{decided.action} proposes {proposal.values} and not {dict(allowed[decided.action])}"
            elif not decided.case.request.subject.startswith(f"{proposal.target}/{proposal.record}/"):
                yield f"it proposes to write {proposal.target}/{proposal.record}, which it was not asked about"

    return Property(name="an action proposes what belongs to it, of what was asked about", violations=violations)


def figures_from(tool: str, columns: Mapping[str, str]) -> Property:
    """Figures of a decision are those that a tool answered."""

    def violations(decided: Decided, _: Try) -> Iterator[str]:
        answered: Mapping[str, Any] = next((each.answer for each in decided.case.answers if each.tool == tool), {})
        for said, column in columns.items():
            if str(decided.output.get(said)) != str(answered.get(column)):
                yield f"{said} is {decided.output.get(said)}, and {tool} says {answered.get(column)}"

    return Property(name=f"figures are those of {tool}", violations=violations)
