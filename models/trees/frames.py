"""A tree over a Polars frame: node by node, each with the rows that reach it, so that shared nodes are asked once."""

from __future__ import annotations

from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any

import polars as pl

from models.trees.boxes import Box
from models.trees.facts import Fact, knowable
from models.trees.sets import HIGHEST, LOWEST, Choices, Spans, Values
from pilothouse.kernel.errors import ModelError

if TYPE_CHECKING:
    from models.trees.tree import Tree

_EPOCH = 719_163  # the number of 1 January 1970, from which Polars counts days


def decide_frame(tree: Tree, frame: pl.DataFrame) -> pl.DataFrame:
    """Action, reason and leaf of each row; ModelError names the first value that the tree does not know."""
    rows = pl.DataFrame({name: _column(tree, frame, name) for name in tree.inputs}) if tree.inputs else frame.select([])
    leaves = list(tree.leaves)
    reached: dict[str, pl.Series] = {tree.document.start: pl.repeat(value=True, n=frame.height, eager=True)}
    for name in tree.checked_as.regions:  # each behind all that lead to it
        node = tree.document.nodes.get(name)
        if node is None:
            continue
        left = reached[name]
        for case, boxes in zip(node.cases, tree.checked_as.cases[name], strict=True):
            holds = rows.select(reduce(or_, (_box(box) for box in boxes)).alias("holds"))["holds"]
            _add(reached, case.then, left & holds)
            left &= ~holds
        if node.otherwise is not None:
            _add(reached, node.otherwise, left)
    number = pl.Series("leaf", [None] * frame.height, dtype=pl.UInt32)
    for place, leaf in enumerate(leaves):
        number = number.zip_with(~reached[leaf], pl.repeat(place, frame.height, dtype=pl.UInt32, eager=True))
    told = pl.DataFrame(
        {
            "action": [tree.leaves[leaf].action for leaf in leaves],
            "reason": [tree.leaves[leaf].reason for leaf in leaves],
            "leaf": leaves,
        }
    )
    return told[number]


def _add(reached: dict[str, pl.Series], target: str, rows: pl.Series) -> None:
    reached[target] = reached[target] | rows if target in reached else rows


def _box(box: Box) -> pl.Expr:
    return reduce(and_, (_test(pl.col(name), values) for name, values in box.items()))


def _test(column: pl.Expr, values: Values) -> pl.Expr:
    known = _choice(column, values.known) if isinstance(values.known, Choices) else _spans(column, values.known)
    return pl.when(column.is_null()).then(pl.lit(values.missing)).otherwise(known)


def _choice(column: pl.Expr, known: Choices) -> pl.Expr:
    found = column.is_in(sorted(known.names)) if known.names else pl.lit(value=False)
    return ~found if known.others else found


def _spans(column: pl.Expr, known: Spans) -> pl.Expr:
    return reduce(or_, (_span(column, low, high) for low, high in known.pairs()), pl.lit(value=False))


def _span(column: pl.Expr, low: tuple[float, int], high: tuple[float, int]) -> pl.Expr:
    parts = [pl.lit(value=True)]
    if low != LOWEST:
        parts.append(column > low[0] if low[1] else column >= low[0])
    if high != HIGHEST:
        parts.append(column <= high[0] if high[1] else column < high[0])
    return reduce(and_, parts)


def _column(tree: Tree, frame: pl.DataFrame, name: str) -> pl.Series:
    """A column as its values are compared."""
    if name not in frame.columns:
        raise ModelError(f"tree {tree.name}: there is no column '{name}'", hint=f"it asks {', '.join(tree.inputs)}")
    fact, given = tree.facts[name], frame[name]
    wanted = _TYPES[fact.type]
    if not (given.dtype == pl.Null or wanted(given.dtype)):
        raise ModelError(f"tree {tree.name}: column '{name}' is {given.dtype}, and not a {fact.type}", hint="cast the column")
    series = _compared(tree, name, given, fact)
    wrong = pl.DataFrame({name: series}).select(~_test(pl.col(name), fact.domain).alias("wrong"))["wrong"].arg_true()
    if len(wrong):
        _refuse(tree, name, given, wrong[0], fact)
    return series


def _compared(tree: Tree, name: str, given: pl.Series, fact: Fact) -> pl.Series:
    match fact.type:
        case "number":
            return given.cast(pl.Float64).fill_nan(None)
        case "integer":
            if given.dtype.is_integer() and given.dtype != pl.UInt64:
                return given.cast(pl.Int64)
            known = given.fill_nan(None) if given.dtype.is_float() else given
            whole = known.cast(pl.Int64, strict=False)
            wrong = (known.is_not_null() & (whole.is_null() | (whole.cast(known.dtype) != known))).arg_true()
            if len(wrong):
                _refuse(tree, name, given, wrong[0], fact)
            return whole
        case "date":
            return given.cast(pl.Date).to_physical().cast(pl.Int64) + _EPOCH
        case "text":
            return given.cast(pl.String)
        case _:
            return given.cast(pl.Boolean)


def _refuse(tree: Tree, name: str, given: pl.Series, row: int, fact: Fact) -> None:
    value = given[row]
    told = "missing" if value is None else repr(value) if not isinstance(value, str) else f"'{value}'"
    raise ModelError(
        f"tree {tree.name}: {name} is {told} in row {row}",
        hint=knowable(fact),
    )


_TYPES: dict[str, Any] = {
    "number": lambda dtype: dtype.is_numeric(),
    "integer": lambda dtype: dtype.is_numeric(),
    "text": lambda dtype: dtype in (pl.String, pl.Categorical, pl.Enum),
    "bool": lambda dtype: dtype == pl.Boolean,
    "date": lambda dtype: dtype == pl.Date,
}
