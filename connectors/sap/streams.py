"""What we read from an S/4HANA, stream by stream: SAP's published APIs, with their own names.

Only values stand here. A stream of your own is one more value, or an entry under `extra_streams` in pilothouse.toml.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pilothouse.kernel.streams import Cursor, Stream

PARTNER: Final = "/sap/opu/odata/sap/API_BUSINESS_PARTNER"
ORDER_V4: Final = "/sap/opu/odata4/sap/api_salesorder/srvd_a2x/sap/salesorder/0001"
DAY: Final = timedelta(days=1)  # these fields hold a date of the source's own time zone


@dataclass(frozen=True, kw_only=True)
class SapStream(Stream):
    """One entity set of one OData service.

    `delta` follows the service's delta links. `created` is the field that stands in for the cursor in rows that never
    changed: SAP leaves `LastChangeDate` empty in them, and a filter on it alone would never see a new row.
    """

    path: str
    label: str = ""
    delta: bool = False
    created: str | None = None

    @property
    def service(self) -> str:
        """The path of the service root."""
        return self.path.rpartition("/")[0]

    @property
    def entity_set(self) -> str:
        """The name of the entity set."""
        return self.path.rpartition("/")[2]


STREAMS: Final[tuple[SapStream, ...]] = (
    SapStream(
        name="business_partner",
        key=("BusinessPartner",),
        path=f"{PARTNER}/A_BusinessPartner",
        cursor=Cursor("LastChangeDate", lag=DAY),
        created="CreationDate",
        deletes="keys",
        label="Business partner",
        description="Customers, suppliers and persons the company deals with: one row a partner, with names, groups and blocks.",
        owner="master data",
    ),
    SapStream(
        name="business_partner_address",
        key=("BusinessPartner", "AddressID"),
        path=f"{PARTNER}/A_BusinessPartnerAddress",
        label="Business partner address",
        description="Where a business partner is found. Addresses carry no change date, so each read is complete.",
        owner="master data",
    ),
    SapStream(
        name="business_partner_tax_number",
        key=("BusinessPartner", "BPTaxType"),
        path=f"{PARTNER}/A_BusinessPartnerTaxNumber",
        label="Business partner tax number",
        description="The numbers under which tax offices know a business partner: the surest evidence for who is who.",
        owner="master data",
    ),
    SapStream(
        name="sales_order",
        key=("SalesOrder",),
        path="/sap/opu/odata/sap/API_SALES_ORDER_SRV/A_SalesOrder",
        cursor=Cursor("LastChangeDateTime"),
        deletes="keys",
        announces={"insert": "order.created", "upsert": "order.changed", "delete": "order.deleted"},
        label="Sales order",
        description="What a customer ordered: the head of the order, with its total, terms, blocks and statuses.",
        owner="sales",
    ),
    SapStream(
        name="sales_order_item",
        key=("SalesOrder", "SalesOrderItem"),
        path=f"{ORDER_V4}/SalesOrderItem",
        delta=True,
        deletes="tombstones",
        label="Sales order item",
        description="The lines of a sales order: product, quantity, price, plant.",
        owner="sales",
    ),
    SapStream(
        name="sales_order_partner",
        key=("SalesOrder", "PartnerFunction"),
        path=f"{ORDER_V4}/SalesOrderPartner",
        delta=True,
        deletes="tombstones",
        label="Sales order partner",
        description="Who plays which part in a sales order: sold-to, ship-to, bill-to, payer.",
        owner="sales",
    ),
    SapStream(
        name="outbound_delivery",
        key=("DeliveryDocument",),
        path="/sap/opu/odata/sap/API_OUTBOUND_DELIVERY_SRV;v=0002/A_OutbDeliveryHeader",
        cursor=Cursor("LastChangeDate", lag=DAY),
        created="CreationDate",
        deletes="keys",
        label="Outbound delivery",
        description="What left the warehouse for a customer, and when it was planned to and did.",
        owner="logistics",
    ),
    SapStream(
        name="billing_document",
        key=("BillingDocument",),
        path="/sap/opu/odata/sap/API_BILLING_DOCUMENT_SRV/A_BillingDocument",
        cursor=Cursor("LastChangeDateTime"),
        deletes="keys",
        announces={"insert": "invoice.created"},
        label="Billing document",
        description="Invoices, credit memos and their cancellations.",
        owner="finance",
    ),
    SapStream(
        name="journal_item",
        key=("CompanyCode", "FiscalYear", "AccountingDocument", "AccountingDocumentItem"),
        path="/sap/opu/odata/sap/API_OPLACCTGDOCITEMCUBE_SRV/A_OperationalAcctgDocItemCube",
        delta=True,
        deletes="tombstones",
        label="Journal item",
        description="Lines of accounting documents: receivables with due date and clearing date show who pays when.",
        owner="finance",
    ),
    SapStream(
        name="product",
        key=("Product",),
        path="/sap/opu/odata4/sap/api_product/srvd_a2x/sap/product/0002/Product",
        cursor=Cursor("LastChangeDateTime"),
        deletes="keys",
        label="Product",
        description="What the company makes and sells: one row a product, with type, group, unit and weight.",
        owner="master data",
    ),
)
