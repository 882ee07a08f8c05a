"""The OData services of the company's S/4HANA: paths, entity sets and navigations as SAP publishes them.

Declarations only. Everything a client sees (service documents, $metadata, routes, links) is derived from here and from
the entities' fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pilothouse.sandbox.company.sap import (
    BILLING_DOCUMENT,
    BILLING_DOCUMENT_ITEM,
    BUSINESS_PARTNER,
    BUSINESS_PARTNER_ADDRESS,
    BUSINESS_PARTNER_TAX_NUMBER,
    OPERATIONAL_ACCTG_DOC_ITEM_CUBE,
    OUTB_DELIVERY_HEADER,
    OUTB_DELIVERY_ITEM,
    PRODUCT,
    SALES_ORDER,
    SALES_ORDER_ITEM,
    SALES_ORDER_PARTNER,
)
from pilothouse.sandbox.company.schema import Entity

Version = Literal[2, 4]


@dataclass(frozen=True)
class Navigation:
    """A link from the rows of one set to those of another. `pairs`: (field here, field there)."""

    name: str
    target: str  # entity set of the same service
    pairs: tuple[tuple[str, str], ...]
    many: bool


@dataclass(frozen=True)
class EntitySet:
    """One entity set. `delta`: it tracks changes. `renames`: fields this service publishes under another name."""

    name: str
    entity: Entity
    navigations: tuple[Navigation, ...] = ()
    delta: bool = False
    writable: bool = False
    renames: Mapping[str, str] = field(default_factory=dict)

    @property
    def type_name(self) -> str:
        """The name of its entity type."""
        return f"{self.name}Type"

    def navigation(self, name: str) -> Navigation | None:
        """The navigation of that name, if there is one."""
        return next((navigation for navigation in self.navigations if navigation.name == name), None)


@dataclass(frozen=True)
class Service:
    """One OData service."""

    path: str
    version: Version
    namespace: str
    label: str
    sets: tuple[EntitySet, ...]

    def entity_set(self, name: str) -> EntitySet | None:
        """The set of that name, if there is one."""
        return next((entity_set for entity_set in self.sets if entity_set.name == name), None)

    @property
    def technical_name(self) -> str:
        """What SAP's error bodies call it."""
        return self.path.rsplit("/", 1)[-1].partition(";")[0] if self.version == 2 else self.namespace.rsplit(".", 2)[-2].upper()


def _to_many(name: str, target: str, *fields: str) -> Navigation:
    return Navigation(name, target, tuple((f, f) for f in fields), many=True)


def _to_one(name: str, target: str, *fields: str) -> Navigation:
    return Navigation(name, target, tuple((f, f) for f in fields), many=False)


_V2 = "/sap/opu/odata/sap"
_V4 = "/sap/opu/odata4/sap"
_GATEWAY = "com.sap.gateway.srvd_a2x"

SERVICES = (
    Service(
        f"{_V2}/API_BUSINESS_PARTNER",
        2,
        "API_BUSINESS_PARTNER",
        "Business Partner (A2X)",
        (
            EntitySet(
                "A_BusinessPartner",
                BUSINESS_PARTNER,
                (
                    _to_many("to_BusinessPartnerAddress", "A_BusinessPartnerAddress", "BusinessPartner"),
                    _to_many("to_BusinessPartnerTax", "A_BusinessPartnerTaxNumber", "BusinessPartner"),
                ),
                writable=True,
            ),
            EntitySet(
                "A_BusinessPartnerAddress",
                BUSINESS_PARTNER_ADDRESS,
                (_to_one("to_BusinessPartner", "A_BusinessPartner", "BusinessPartner"),),
                writable=True,
            ),
            EntitySet("A_BusinessPartnerTaxNumber", BUSINESS_PARTNER_TAX_NUMBER, writable=True),
        ),
    ),
    Service(
        f"{_V2}/API_SALES_ORDER_SRV",
        2,
        "API_SALES_ORDER_SRV",
        "Sales Order (A2X)",
        (
            EntitySet(
                "A_SalesOrder",
                SALES_ORDER,
                (_to_many("to_Item", "A_SalesOrderItem", "SalesOrder"), _to_many("to_Partner", "A_SalesOrderHeaderPartner", "SalesOrder")),
                writable=True,
            ),
            EntitySet(
                "A_SalesOrderItem",
                SALES_ORDER_ITEM,
                (_to_one("to_SalesOrder", "A_SalesOrder", "SalesOrder"),),
                writable=True,
                renames={"Product": "Material", "ProductGroup": "MaterialGroup"},
            ),
            EntitySet(
                "A_SalesOrderHeaderPartner",
                SALES_ORDER_PARTNER,
                (_to_one("to_SalesOrder", "A_SalesOrder", "SalesOrder"),),
                writable=True,
            ),
        ),
    ),
    Service(
        f"{_V2}/API_OUTBOUND_DELIVERY_SRV;v=0002",
        2,
        "API_OUTBOUND_DELIVERY_SRV",
        "Outbound Delivery (A2X)",
        (
            EntitySet(
                "A_OutbDeliveryHeader",
                OUTB_DELIVERY_HEADER,
                (_to_many("to_DeliveryDocumentItem", "A_OutbDeliveryItem", "DeliveryDocument"),),
            ),
            EntitySet(
                "A_OutbDeliveryItem", OUTB_DELIVERY_ITEM, (_to_one("to_DeliveryDocument", "A_OutbDeliveryHeader", "DeliveryDocument"),)
            ),
        ),
    ),
    Service(
        f"{_V2}/API_BILLING_DOCUMENT_SRV",
        2,
        "API_BILLING_DOCUMENT_SRV",
        "Billing Document (A2X)",
        (
            EntitySet("A_BillingDocument", BILLING_DOCUMENT, (_to_many("to_Item", "A_BillingDocumentItem", "BillingDocument"),)),
            EntitySet(
                "A_BillingDocumentItem", BILLING_DOCUMENT_ITEM, (_to_one("to_BillingDocument", "A_BillingDocument", "BillingDocument"),)
            ),
        ),
    ),
    Service(
        f"{_V2}/API_OPLACCTGDOCITEMCUBE_SRV",
        2,
        "API_OPLACCTGDOCITEMCUBE_SRV",
        "Operational Journal Entry Item - Read",
        (EntitySet("A_OperationalAcctgDocItemCube", OPERATIONAL_ACCTG_DOC_ITEM_CUBE, delta=True),),
    ),
    Service(f"{_V2}/API_PRODUCT_SRV", 2, "API_PRODUCT_SRV", "Product Master (A2X)", (EntitySet("A_Product", PRODUCT, writable=True),)),
    Service(
        f"{_V4}/api_salesorder/srvd_a2x/sap/salesorder/0001",
        4,
        f"{_GATEWAY}.api_salesorder.v0001",
        "Sales Order (A2X)",
        (
            EntitySet(
                "SalesOrder",
                SALES_ORDER,
                (_to_many("_Item", "SalesOrderItem", "SalesOrder"), _to_many("_Partner", "SalesOrderPartner", "SalesOrder")),
                delta=True,
                writable=True,
            ),
            EntitySet("SalesOrderItem", SALES_ORDER_ITEM, (_to_one("_SalesOrder", "SalesOrder", "SalesOrder"),), delta=True, writable=True),
            EntitySet(
                "SalesOrderPartner",
                SALES_ORDER_PARTNER,
                (_to_one("_SalesOrder", "SalesOrder", "SalesOrder"),),
                delta=True,
                writable=True,
            ),
        ),
    ),
    Service(
        f"{_V4}/api_product/srvd_a2x/sap/product/0002",
        4,
        f"{_GATEWAY}.api_product.v0002",
        "Product Master (A2X)",
        (EntitySet("Product", PRODUCT, delta=True, writable=True),),
    ),
    Service(
        f"{_V4}/api_businesspartner/srvd_a2x/sap/businesspartner/0001",
        4,
        f"{_GATEWAY}.api_businesspartner.v0001",
        "Business Partner (A2X)",
        (
            EntitySet(
                "BusinessPartner",
                BUSINESS_PARTNER,
                (
                    _to_many("_BusinessPartnerAddress", "BusinessPartnerAddress", "BusinessPartner"),
                    _to_many("_BusinessPartnerTaxNumber", "BusinessPartnerTaxNumber", "BusinessPartner"),
                ),
                delta=True,
                writable=True,
            ),
            EntitySet(
                "BusinessPartnerAddress",
                BUSINESS_PARTNER_ADDRESS,
                (_to_one("_BusinessPartner", "BusinessPartner", "BusinessPartner"),),
                delta=True,
                writable=True,
            ),
            EntitySet("BusinessPartnerTaxNumber", BUSINESS_PARTNER_TAX_NUMBER, delta=True, writable=True),
        ),
    ),
)
