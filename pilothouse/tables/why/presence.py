"""What it depends on that a value is there at all, whatever it says.

`owed_eur is not null` holds of any amount: it needs a line of the invoice, and of several any one. Whoever asks that asks for a cell
of its own, beside that of the value: under the column's name with a mark (`needed.THERE`), from model to model down to raw rows.
"""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from pilothouse.tables.why.cells import Cells, nothing
from pilothouse.tables.why.choosing import Of, all_there, any_there, case

_WITH_ALL_PARTS: Final = (  # there if all that they are made of is
    *(exp.Paren, exp.Cast, exp.Neg, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.DPipe, exp.Interval),
    *(exp.Abs, exp.Round, exp.Lower, exp.Upper, exp.DateDiff, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE),
)


def presence(node: exp.Expr, there: Of, value: Of) -> Cells:
    """Of an expression, given what its parts' being there depends on, and what they say. Of what nobody knows how it may be absent, all
    that it says counts."""
    if always(node):
        return nothing
    if isinstance(node, exp.Case):
        return case(node, value, there)
    if isinstance(node, exp.Coalesce):
        return any_there([node.this, *node.expressions], there)
    if isinstance(node, _WITH_ALL_PARTS) and not isinstance(node, exp.TryCast):
        return all_there([each for each in node.iter_expressions() if not always(each)], there)
    return value(node)


def always(node: exp.Expr) -> bool:
    """Whether a value is there whatever rows are."""
    if isinstance(node, exp.Case):
        branches = [*(each.args["true"] for each in node.args["ifs"]), node.args.get("default") or exp.Null()]
        return all(map(always, branches))
    if isinstance(node, exp.Coalesce):
        return any(map(always, [node.this, *node.expressions]))
    if isinstance(node, exp.Window):
        return isinstance(node.this, exp.Count | exp.RowNumber)
    if isinstance(node, exp.Count | exp.Exists | exp.Literal | exp.Boolean | exp.Var | exp.DataType) or asks_presence(node):
        return True
    return isinstance(node, (*_WITH_ALL_PARTS, exp.Not)) and not isinstance(node, exp.TryCast) and all(map(always, node.iter_expressions()))


def asks_presence(node: exp.Expr) -> bool:
    """Whether a condition asks whether a value is there."""
    return isinstance(node, exp.Is) and isinstance(node.expression, exp.Null)
