"""Firms, the records that stand for them, their people, and where they belong."""

from __future__ import annotations

from graph.kinds import EdgeType, End, Measures, NodeType

FIRM = NodeType(
    label="Firm",
    description="A firm, of all records that stand for it in SAP, Salesforce and at the bureau.",
    mart="marts/dim_firm",
    key=("firm_id",),
    properties=(
        "name",
        "street",
        "postal_code",
        "city",
        "country",
        "tax_number",
        "industry",
        "website",
        "phone",
        "bureau_id",
        "is_customer",
        "customer_since",
        "rating_grade",
        "rating_score",
        "credit_limit_eur",
        "rated_on",
    ),
    title="name",
    indexed=("name", "country"),
    measures=Measures("graph/firm_measures", "firm_id"),
)

ACCOUNT = NodeType(
    label="Account",
    description="A firm as one system knows it: a business partner of SAP, an account of Salesforce, an entry of the bureau.",
    mart="marts/dim_account",
    key=("account_id",),
    properties=("source", "record_id", "name", "street", "postal_code", "city", "country", "tax_number", "industry", "phone", "website"),
    title="name",
    valid_from="known_since",
    behind="Firm",  # which is named after one of its records
)

CONTACT = NodeType(
    label="Contact",
    description="A person at a firm.",
    mart="marts/dim_contact",
    key=("contact_id",),
    properties=("name", "title", "department", "email", "phone", "created_at"),
    title="name",
    valid_from="created_at",
)

REGION = NodeType(
    label="Region",
    description="A country in which firms are.",
    mart="marts/dim_region",
    key=("region_id",),
    properties=("name",),
    title="name",
)

INDUSTRY = NodeType(
    label="Industry",
    description="An industry, with the newest index of its output and of its insolvencies.",
    mart="marts/dim_industry",
    key=("industry_id",),
    properties=("name", "month", "output_index", "insolvencies_per_10000"),
    title="name",
)

OWNS = EdgeType(
    type="OWNS",
    description="Which firm owns which, and how much of it.",
    mart="marts/fct_ownership",
    source=End("Firm", ("owner_firm_id",)),
    target=End("Firm", ("owned_firm_id",)),
    properties=("share_percent", "since"),
    valid_from="since",
)

STANDS_FOR = EdgeType(
    type="STANDS_FOR",
    description="The firm behind a record, and what joins the record to it.",
    mart="marts/dim_account",
    source=End("Account", ("account_id",)),
    target=End("Firm", ("firm_id",)),
    properties=("evidence", "weight"),
)

SAME_AS = EdgeType(
    type="SAME_AS",
    description="Two records that were found to be one firm, and how likely that is.",
    mart="intermediate/int_firm_link",
    source=End("Account", ("left_id",)),
    target=End("Account", ("right_id",)),
    properties=("probability", "weight", "weights_version"),
    where="is_same",
)

WORKS_FOR = EdgeType(
    type="WORKS_FOR",
    description="The firm that a person works for.",
    mart="marts/dim_contact",
    source=End("Contact", ("contact_id",)),
    target=End("Firm", ("firm_id",)),
    valid_from="created_at",
)

LOCATED_IN = EdgeType(
    type="LOCATED_IN",
    description="The country of a firm.",
    mart="marts/dim_firm",
    source=End("Firm", ("firm_id",)),
    target=End("Region", ("country",)),
)

BELONGS_TO = EdgeType(
    type="BELONGS_TO",
    description="The industry of a firm.",
    mart="marts/dim_firm",
    source=End("Firm", ("firm_id",)),
    target=End("Industry", ("industry",)),
)
