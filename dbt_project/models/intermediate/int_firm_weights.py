"""What the resolver of firms has learned."""

from typing import Any


def model(dbt: Any, session: Any) -> Any:  # noqa: ARG001 - dbt gives both
    """What the resolver of firms has learned from the records that share a tax number. It is kept until somebody asks for it anew:
    weights that moved with every sync would let firms fall apart for no reason that anybody could name."""
    import pyarrow as pa

    from graph.resolution.firms import FIRMS
    from graph.resolution.resolver import learned

    party = dbt.ref("int_party").to_arrow_table()
    weights = learned(FIRMS, party)
    return pa.table(
        {
            "resolver": [FIRMS.name],
            "version": [weights.version],
            "weights": [weights.as_json()],
            "records": pa.array([party.num_rows], pa.int64()),
            "_synthetic": [any(party["_synthetic"].to_pylist())],
        }
    )
