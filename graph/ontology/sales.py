"""What firms order, what is billed for it, and what is paid."""

from __future__ import annotations

from graph.kinds import EdgeType, End, NodeType

ORDER = NodeType(
    label="Order",
    description="A sales order.",
    mart="marts/fct_order",
    key=("order_id",),
    properties=(
        "order_type",
        "sales_organization",
        "ordered_on",
        "requested_on",
        "currency",
        "net_amount",
        "net_amount_eur",
        "payment_terms",
        "delivery_block",
        "credit_status",
        "process_status",
        "delivery_status",
        "is_rejected",
        "is_complete",
    ),
    valid_from="ordered_on",
    indexed=("ordered_on",),
)

ITEM = NodeType(
    label="Item",
    description="A line of a sales order.",
    mart="marts/fct_order_item",
    key=("order_id", "item_id"),
    properties=("quantity", "unit", "net_amount", "net_price", "currency", "is_rejected", "delivery_status"),
)

PRODUCT = NodeType(
    label="Product",
    description="A product.",
    mart="marts/dim_product",
    key=("product_id",),
    properties=("name", "product_type", "product_group", "hierarchy", "base_unit", "country_of_origin", "is_discontinued", "created_at"),
    title="name",
    valid_from="created_at",
    indexed=("product_group",),
)

INVOICE = NodeType(
    label="Invoice",
    description="An invoice, with what is owed by it and what was paid.",
    mart="marts/fct_invoice",
    key=("invoice_id",),
    properties=(
        "invoiced_on",
        "due_on",
        "currency",
        "net_amount",
        "gross_amount",
        "owed_eur",
        "paid_eur",
        "paid_on",
        "days_late",
        "is_open",
        "is_cancelled",
        "payment_terms",
    ),
    valid_from="invoiced_on",
    indexed=("due_on",),
)

PAYMENT = NodeType(
    label="Payment",
    description="A payment of a customer.",
    mart="marts/fct_payment",
    key=("company", "fiscal_year", "document", "line"),
    properties=("paid_on", "due_on", "days_late", "currency", "amount", "amount_eur"),
    valid_from="paid_on",
)

OPPORTUNITY = NodeType(
    label="Opportunity",
    description="A deal that may come.",
    mart="marts/fct_opportunity",
    key=("opportunity_id",),
    properties=(
        "name",
        "stage",
        "amount",
        "probability",
        "closes_on",
        "opportunity_type",
        "lead_source",
        "is_closed",
        "is_won",
        "created_at",
    ),
    title="name",
    valid_from="created_at",
)

PLACED = EdgeType(
    type="PLACED",
    description="Who placed an order.",
    mart="marts/fct_order",
    source=End("Firm", ("firm_id",)),
    target=End("Order", ("order_id",)),
    valid_from="ordered_on",
)

CONTAINS = EdgeType(
    type="CONTAINS",
    description="The lines of an order.",
    mart="marts/fct_order_item",
    source=End("Order", ("order_id",)),
    target=End("Item", ("order_id", "item_id")),
)

IS_FOR = EdgeType(
    type="IS_FOR",
    description="The product of a line.",
    mart="marts/fct_order_item",
    source=End("Item", ("order_id", "item_id")),
    target=End("Product", ("product_id",)),
)

BILLED = EdgeType(
    type="BILLED",
    description="The order that an invoice bills.",
    mart="marts/fct_invoice",
    source=End("Invoice", ("invoice_id",)),
    target=End("Order", ("order_id",)),
    valid_from="invoiced_on",
)

OWES = EdgeType(
    type="OWES",
    description="Who owes, or owed, what an invoice says.",
    mart="marts/fct_invoice",
    source=End("Firm", ("firm_id",)),
    target=End("Invoice", ("invoice_id",)),
    valid_from="invoiced_on",
)

PAID = EdgeType(
    type="PAID",
    description="The invoice that a payment settles.",
    mart="marts/fct_payment",
    source=End("Payment", ("company", "fiscal_year", "document", "line")),
    target=End("Invoice", ("invoice_id",)),
    valid_from="paid_on",
)

MADE = EdgeType(
    type="MADE",
    description="Who made a payment.",
    mart="marts/fct_payment",
    source=End("Firm", ("firm_id",)),
    target=End("Payment", ("company", "fiscal_year", "document", "line")),
    valid_from="paid_on",
)

CONSIDERS = EdgeType(
    type="CONSIDERS",
    description="The firm that a deal would be with.",
    mart="marts/fct_opportunity",
    source=End("Firm", ("firm_id",)),
    target=End("Opportunity", ("opportunity_id",)),
    valid_from="created_at",
)
