"""Of a value that is one of several, what chose it, and what it is then."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from pilothouse.tables.why.cells import DIALECT, Cells, all_hold, both, either, nothing, one_holds
from pilothouse.tables.why.recipes import Fields, Recipe

Of = Callable[[exp.Expr], Cells]  # the cells of an expression


def case(node: exp.Case, of: Of, taken: Of) -> Cells:
    """Its conditions, as far as they were asked, and what is `taken` of the branch that they chose."""
    subject, default = node.args.get("this"), node.args.get("default")
    seen = of(subject) if subject is not None else nothing
    parts, branches = [f"CASE {subject.sql(DIALECT)}" if subject is not None else "CASE"], []
    for number, branch in enumerate(node.args["ifs"]):
        seen = both(seen, decided(branch.this, of)) if subject is None else seen
        parts.append(f"WHEN {branch.this.sql(DIALECT)} THEN {number}")
        branches.append(both(seen, taken(branch.args["true"])))
    branches.append(both(seen, taken(default) if default is not None else nothing))
    text = " ".join([*parts, f"ELSE {len(branches) - 1} END"])

    def told(fields: Fields) -> Recipe:
        recipes = tuple(each(fields) for each in branches)
        return recipes[0] if len(set(recipes)) == 1 else ("case", fields.add(text), recipes)

    return told


def decided(node: exp.Expr, of: Of) -> Cells:
    """What it depends on that a condition holds, or that it does not."""
    if isinstance(node, exp.Paren):
        return decided(node.this, of)
    if isinstance(node, exp.And | exp.Or):
        put = all_hold if isinstance(node, exp.And) else one_holds
        return put(decided(node.left, of), node.left.sql(DIALECT), decided(node.right, of), node.right.sql(DIALECT))
    return of(node)


def first_said(values: Sequence[exp.Expr], of: Of) -> Cells:
    """The first that says something, unless those after it would say the same: then any of them will do."""
    first, *rest = values
    if not rest:
        return of(first)
    mine, others = of(first), first_said(rest, of)
    value, instead = first.sql(DIALECT), ", ".join(each.sql(DIALECT) for each in rest)
    return either(mine, others, f"CASE WHEN {value} IS NULL THEN 3 WHEN {value} IS DISTINCT FROM coalesce({instead}) THEN 1 ELSE 2 END")


def any_there(values: Sequence[exp.Expr], there: Of) -> Cells:
    """Any one of several values."""
    first, *rest = values
    if not rest:
        return there(first)
    others = " OR ".join(f"{each.sql(DIALECT)} IS NOT NULL" for each in rest)
    return one_holds(there(first), f"{first.sql(DIALECT)} IS NOT NULL", any_there(rest, there), others)


def all_there(values: Sequence[exp.Expr], there: Of) -> Cells:
    """Several values together."""
    if not values:
        return nothing
    first, *rest = values
    if not rest:
        return there(first)
    others = " AND ".join(f"{each.sql(DIALECT)} IS NOT NULL" for each in rest)
    return all_hold(there(first), f"{first.sql(DIALECT)} IS NOT NULL", all_there(rest, there), others)
