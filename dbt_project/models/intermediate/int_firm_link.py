"""Links between records of firms."""

from typing import Any


def model(dbt: Any, session: Any) -> Any:
    """Pairs of records that stand for one firm, and those of which one may doubt it, each with its evidence."""
    from graph.resolution.tables import firm_links
    from pilothouse.tables.python import Partly

    return firm_links(dbt.ref("int_party").to_arrow_table(), dbt.ref("int_firm_weights").to_arrow_table(), Partly(dbt, session))
