"""One version of an agent against everything that it is tried by, as a report; and two reports against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pilothouse.agents.agent import Agent
from pilothouse.agents.brains.language import LanguageModel
from pilothouse.agents.budget import Cost
from pilothouse.agents.trials.case import Case, Decided, decided_on
from pilothouse.agents.trials.judging import Judge, Judged
from pilothouse.agents.trials.property import EVERYWHERE, Property
from pilothouse.kernel.errors import AgentError, ModelUnavailable

if TYPE_CHECKING:
    from pilothouse.agents.trials.standing import Standing

_DEAR_CASES: Final = 3  # on how many cases a language model is tried by properties that change them
_TOLERANCE: Final = 0.25  # by which a judge's mean may differ between versions that are equally good


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A property that does not hold."""

    property: str
    case: str
    said: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a version stood up."""

    agent: str
    version: str
    decided: tuple[Decided, ...]
    violations: tuple[Violation, ...]
    judged: Mapping[str, Judged] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)

    @property
    def passed(self) -> frozenset[str]:
        """The cases that it decides as people want it."""
        return frozenset(each.case.name for each in self.decided if each.passed)

    @property
    def score(self) -> float:
        """The share of cases that it decides as people want it."""
        return sum(each.passed for each in self.decided) / len(self.decided) if self.decided else 1.0

    @property
    def mean(self) -> float | None:
        """The judge's mean; None where nobody judged."""
        return sum(each.score for each in self.judged.values()) / len(self.judged) if self.judged else None

    def objections(self, standing: Report | None) -> list[str]:
        """Why it must not come into force, where another version stands."""
        broken = {each.property for each in self.violations} - ({each.property for each in standing.violations} if standing else set())
        told = [f"it violates: {name}" for name in sorted(broken)]
        if standing is not None and self.score < standing.score:
            lost = ", ".join(sorted(standing.passed - self.passed))
            told.append(f"it decides {self.score:.0%} of the cases as people want it, and not {standing.score:.0%}: it fails {lost}")
        if standing is not None and self.mean is not None and standing.mean is not None and self.mean < standing.mean - _TOLERANCE:
            told.append(f"its reasons are judged {self.mean:.1f} of 5, and not {standing.mean:.1f}")
        return told

    def regressions(self, kept: Standing | None) -> list[str]:
        """What was right when a version was last found good. It shows what changed code does: the code of then cannot be run any more."""
        if kept is None:
            return []
        then = {(each["case"], each["wanted"]) for each in kept.report["cases"] if each["passed"]}
        lost = sorted(each.case.name for each in self.decided if not each.passed and (each.case.name, each.case.told()) in then)
        return [f"it fails what version {kept.version[:12]} decided as people want it: {', '.join(lost)}"] if lost else []

    def as_json(self) -> dict[str, Any]:
        """As it is kept and printed."""
        return {
            "agent": self.agent,
            "version": self.version,
            "score": round(self.score, 4),
            "judged": None if self.mean is None else round(self.mean, 2),
            "cases": [_case(each, self.judged.get(each.case.name)) for each in self.decided],
            "violations": [msgspec.to_builtins(each) for each in self.violations],
            "cost": {"calls": self.cost.calls, "tokens": self.cost.tokens, "money": str(self.cost.money)},
        }


def tried(agent: Agent, cases: Sequence[Case], *, judge: Judge | None = None) -> Report:
    """Let a version decide on every case, and hold its properties against what it decides."""
    properties = (*EVERYWHERE, *(agent.trials.properties if agent.trials else ()))
    decided = [_decided(agent, case) for case in cases]
    violations = list(_violations(agent, decided, properties))
    judged = {each.case.name: judge.of(agent.name, agent.description, each) for each in decided if judge and not each.failed}
    spent = sum((each.run.spent for each in decided if each.run is not None), Cost())
    return Report(
        agent=agent.name, version=agent.version(), decided=tuple(decided), violations=tuple(violations), judged=judged, cost=spent
    )


def _decided(agent: Agent, case: Case) -> Decided:
    """What it decides; that it comes to no decision is a result too. That nobody answers is none: it says nothing of the version."""
    try:
        run = decided_on(agent, case)
    except ModelUnavailable:
        raise
    except AgentError as error:
        return Decided(case=case, failed=error.message)
    return Decided(case=case, output=msgspec.json.decode(run.output), run=run)


def _violations(agent: Agent, decided: Sequence[Decided], properties: Sequence[Property]) -> Iterator[Violation]:
    speaks = isinstance(agent.brain, LanguageModel)
    for each in properties:
        tried_on = [one for one in decided if not one.failed][: _DEAR_CASES if each.dear and speaks else None]
        for one in tried_on:
            for said in each.violations(one, lambda case: _decided(agent, case)):
                yield Violation(property=each.name, case=one.case.name, said=said)


def _case(decided: Decided, judged: Judged | None) -> dict[str, Any]:
    return {
        "case": decided.case.name,
        "source": decided.case.source,
        "wanted": decided.case.told(),
        "decided": decided.action or None,
        "passed": decided.passed,
        "because": decided.case.because,
        "failed": decided.failed,
        "judged": None if judged is None else judged.score,
        "judge_said": "" if judged is None else judged.said,
    }
