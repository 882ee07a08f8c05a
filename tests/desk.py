"""The credit desk by a tree that stays as it is, for tests that want each of its actions: the desk's own tree is tuned."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from models.trees import declared_facts, tree_from
from pilothouse.agents.agent import Agent
from pilothouse.agents.desks.credit_desk import CREDIT_DESK
from pilothouse.agents.policy import Policy

TREE: Final = """
name: credit_release
facts: order
start: standing
nodes:
  standing:
    ask: Has the firm left invoices unpaid?
    cases:
      - when: {invoices_late_and_open: {at_least: 3}}
        then: hold_unpaid
      - when: {invoices_late_and_open: {at_least: 1}, overdue_eur: {above: 5000}}
        then: distress
    otherwise: group
  distress:
    ask: Is the order small beside what is at stake?
    cases:
      - when: {placed_eur: {at_most: 2000}}
        then: prepay_distress
    otherwise: hold_distress
  group:
    ask: What does the group behind the firm owe?
    cases:
      - when: {graph.group_exposure: {above: 2000000}, graph.group_overdue: {above: 200000}}
        then: hold_group
    otherwise: risk
  risk:
    ask: How likely is a late payment?
    cases:
      - when: {risk.probability: {below: 0.2, or_missing: true}}
        then: release_low
    otherwise: prepay_risk
leaves:
  release_low: {action: release, reason: A late payment is unlikely}
  prepay_risk: {action: prepayment, reason: A late payment is likely, terms: {share: 0.5}}
  prepay_distress: {action: prepayment, reason: The firm is in distress and the order is small, terms: {share: 1}}
  hold_distress: {action: hold, reason: The firm is in distress and the order is not small}
  hold_unpaid: {action: hold, reason: Three or more invoices are open more than 30 days after they were due}
  hold_group: {action: hold, reason: The group behind the firm owes more than two million euros}
changeable:
  placed_eur: {unit: 10000, direction: down}
  overdue_eur: {unit: 5000, direction: down}
  invoices_late_and_open: {unit: 1, direction: down}
  risk.probability: {unit: 0.05, direction: down}
"""


def desk(text: str = TREE) -> Agent:
    """The desk by this tree."""
    assert isinstance(CREDIT_DESK.brain, Policy)
    return replace(CREDIT_DESK, brain=replace(CREDIT_DESK.brain, tree=tree_from(text, declared_facts())))


DESK: Final = desk()
