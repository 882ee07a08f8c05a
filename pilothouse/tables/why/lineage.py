"""Which columns a column is made of, told by the same text that explains rows: for the lineage that Dagster shows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, build_scope

from pilothouse.tables.why.annotate import ASKED, Schema, qualified

Column = tuple[str, str, str]  # schema, table and column, as the text calls them


def sources(text: str, schema: Schema) -> dict[str, list[Column]]:
    """For each column of a query, the columns of base tables that its value is computed from. What only chooses rows is not among
    them: `pilothouse why` tells it, row by row."""
    root = build_scope(qualified(text, schema))
    assert root is not None

    @cache
    def resolved(scope: Scope, column: str) -> frozenset[Column]:
        query = scope.expression
        assert isinstance(query, exp.Query)
        if isinstance(query, exp.SetOperation):
            place = query.named_selects.index(column)
            parts = ((part, _names(part)[place]) for part in scope.set_operation_scopes)
            return frozenset().union(*(resolved(part, name) for part, name in parts))
        told = next((each for each in query.selects if each.alias_or_name == column), None)
        return frozenset(_found(told, scope)) if told is not None else frozenset()

    def _found(node: exp.Expr, scope: Scope) -> Iterator[Column]:
        for each in node.find_all(exp.Column):
            source = scope.sources.get(each.table)
            if isinstance(source, Scope):
                yield from resolved(source, each.name)
            elif isinstance(source, exp.Table) and source.db != ASKED:
                yield source.db, source.name, each.name

    return {name: sorted(resolved(root, name)) for name in _names(root)}


def _names(scope: Scope) -> list[str]:
    assert isinstance(scope.expression, exp.Query)
    return scope.expression.named_selects
