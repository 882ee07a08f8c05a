"""The query by which an incremental build finds the keys that a change touches, for changes of some inputs alone.

A model that reads eight tables asks of each of them which of its rows a change there touches. What was not changed touches nothing,
and need not be planned.
"""

from __future__ import annotations

from functools import lru_cache

from sqlglot import exp, parse_one

from pilothouse.tables.why.cells import DIALECT

_CHANGES = "changes"  # the schema of what changed


@lru_cache(maxsize=1_000)
def touching(text: str, changed: frozenset[str]) -> str | None:
    """The query without its parts that look at nothing but changes of other tables; None if that are all of it."""
    tree = parse_one(text, dialect=DIALECT)
    for union in reversed([*tree.find_all(exp.Union)]):  # inner ones first
        left, right = _idle(union.left, changed), _idle(union.right, changed)
        if left != right:
            kept = union.right if left else union.left
            union.replace(kept) if union.parent else None
            tree = kept if union is tree else tree
    return None if _idle(tree, changed) else tree.sql(DIALECT)


def _idle(query: exp.Expr, changed: frozenset[str]) -> bool:
    """Whether a query finds nothing, as it looks at what did not change. A union finds nothing if none of its parts does."""
    if isinstance(query, exp.Union):
        return _idle(query.left, changed) and _idle(query.right, changed)
    tables = [table for table in query.find_all(exp.Table) if table.db == _CHANGES]
    return bool(tables) and all(table.name not in changed for table in tables)
