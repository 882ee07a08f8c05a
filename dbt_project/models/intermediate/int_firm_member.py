"""The firm of each record."""

from typing import Any


def model(dbt: Any, session: Any) -> Any:  # noqa: ARG001 - dbt gives both
    """Which firm each record stands for, by what was found (links) and what people said (corrections)."""
    from graph.resolution.tables import firm_members

    said = dbt.ref("stg_pilothouse__firm_correction").to_arrow_table()
    return firm_members(dbt.ref("int_party").to_arrow_table(), dbt.ref("int_firm_link").to_arrow_table(), said)
