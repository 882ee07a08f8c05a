"""What goes wrong, and who says so."""

from __future__ import annotations

from graph.kinds import EdgeType, End, NodeType

CASE = NodeType(
    label="Case",
    description="A support case or complaint.",
    mart="marts/fct_case",
    key=("case_id",),
    properties=(
        "case_number",
        "subject",
        "case_type",
        "reason",
        "status",
        "priority",
        "is_escalated",
        "is_closed",
        "opened_at",
        "closed_at",
    ),
    title="subject",
    valid_from="opened_at",
)

OPENED = EdgeType(
    type="OPENED",
    description="The firm that opened a case.",
    mart="marts/fct_case",
    source=End("Firm", ("firm_id",)),
    target=End("Case", ("case_id",)),
    valid_from="opened_at",
)

REPORTED = EdgeType(
    type="REPORTED",
    description="The person who reported a case.",
    mart="marts/fct_case",
    source=End("Contact", ("contact_id",)),
    target=End("Case", ("case_id",)),
    valid_from="opened_at",
)
