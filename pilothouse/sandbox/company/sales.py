"""Sales orders: who orders what, in which quantities and terms, and how likely the order's invoice is paid late.

The generator draws them by the thousand and the clock one by one, through the same function.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pilothouse.sandbox.company import risk
from pilothouse.sandbox.company.columns import Array, Column, Columns, dates, days, decimals, moments, texts, wholes
from pilothouse.sandbox.company.firms import Firms
from pilothouse.sandbox.company.industries import INDUSTRIES
from pilothouse.sandbox.company.places import COUNTRIES
from pilothouse.sandbox.company.rates import CODES, Rates
from pilothouse.sandbox.company.world import DAY, World

FIRST_ORDER = 1_000_001
FIRST_PRODUCT = 100_001
HOME_TAX = 19  # percent, on sales within Germany
_ITEM_SHARES = np.array([0.30, 0.25, 0.18, 0.12, 0.09, 0.06])
_CURRENCY = np.array([CODES.index(land.currency) for land in COUNTRIES])
_COUNTRY_RISK = np.array([land.risk for land in COUNTRIES])
_SLUMP = np.array([trade.slump for trade in INDUSTRIES])
_HOME = np.array([land.code == "DE" for land in COUNTRIES])
_OVERSEAS = np.array([land.code == "US" for land in COUNTRIES])
_USERS = ("CBAUER", "MSTEIN", "JKOWALSKI", "EDI_IN", "EDI_IN", "EDI_IN", "LROSSI", "AWEBER")
SLUMP_DAYS = 180  # the slump of the hit industries grows over so many days, until the end of the history


@dataclass
class Orders:
    """Orders as drawn: their rows, and what later steps compute with."""

    orders: Columns
    items: Columns
    partners: Columns
    firm: Array
    at: Array
    overseas: Array  # sold by the American company
    net: Array  # hundredths
    tax: Array
    item_order: Array  # place of each item's order
    signals: dict[str, Array]


def slump(industry: Array, day: Array, end: int) -> Array:
    """How hard an industry is hit on a day: nothing at first, then worse and worse until the history ends, and so it stays."""
    depth: Array = _SLUMP[industry] * np.clip((day - (end - SLUMP_DAYS)) / SLUMP_DAYS, 0.0, 1.0)
    return depth


def signals(firms: Firms, firm: Array, day: Array, size: Array, end: int) -> dict[str, Array]:
    """The planted signals of orders that firms place on days; `size` is the order against the usual one, in deviations."""
    return {
        "weakness": firms.weakness[firm],
        "habit": firms.habit[firm],
        "group_distress": (day >= firms.distressed_from[firm]).astype(np.float64),
        "order_burst": (day >= firms.burst_from[firm]).astype(np.float64),
        "industry_slump": slump(firms.industry[firm], day, end),
        "trouble": firms.trouble[firm],
        "country": _COUNTRY_RISK[firms.country[firm]],
        "new_customer": (day < firms.customer_from[firm] + 120).astype(np.float64),
        "order_size": size,
    }


def draw_orders(rng: np.random.Generator, world: World, rates: Rates, partner: Array, at: Array, first: int, end: int) -> Orders:
    """Orders that these business partners place at these moments, numbered from `first`; `end` is the history's last day."""
    firms, firm, count = world.firms, world.partner_firm[partner], len(partner)
    country = firms.country[firm]
    size = np.clip(rng.standard_normal(count), -2.5, 2.5)
    lines = rng.choice(6, count, p=_ITEM_SHARES) + 1
    item_order = np.repeat(np.arange(count), lines)
    item_firm = firm[item_order]
    product = (len(world.price) * rng.random(len(item_order)) ** 1.8).astype(np.int64)
    appetite = rng.lognormal(0.8, 0.7, len(item_order)) * firms.size[item_firm] ** 0.4 * np.exp(0.6 * size[item_order])
    quantity = np.clip(np.rint(appetite), 1, 5_000).astype(np.int64)
    rate = rates.at(_CURRENCY[country], at // DAY)
    price = np.maximum(1, np.rint(world.price[product] * (1 - firms.discount[item_firm] / 100) * rate[item_order])).astype(np.int64)
    item_net = price * quantity
    item_tax = np.where(_HOME[country][item_order], (item_net * HOME_TAX + 50) // 100, 0)
    net = np.bincount(item_order, weights=item_net, minlength=count).astype(np.int64)
    tax = np.bincount(item_order, weights=item_tax, minlength=count).astype(np.int64)
    overseas = _OVERSEAS[country]
    numbers = texts(np.arange(first, first + count))
    item_no = np.arange(len(item_order)) - np.repeat(np.cumsum(lines) - lines, lines) + 1
    orders = _headers(rng, world, partner, at, numbers, net)
    items = Columns(
        len(item_order),
        {
            "SalesOrder": [numbers[place] for place in item_order.tolist()],
            "SalesOrderItem": texts(item_no * 10),
            "NetAmount": decimals(item_net),
            "NetPriceAmount": decimals(price),
            "TaxAmount": decimals(item_tax),
            "RequestedQuantity": wholes(quantity),
            "ItemNetWeight": [f"{grams / 1000:.3f}" for grams in (world.weight[product] * quantity).tolist()],
            "Plant": ["1710" if far else "1010" for far in overseas[item_order].tolist()],
            "TransactionCurrency": [CODES[place] for place in _CURRENCY[country][item_order].tolist()],
            **_item_products(world, product),
        },
    )
    found = signals(firms, firm, at // DAY, size, end)
    return Orders(orders, items, _roles(orders), firm, at, overseas, net, tax, item_order, found)


def _headers(rng: np.random.Generator, world: World, partner: Array, at: Array, numbers: list[str], net: Array) -> Columns:
    firms, firm, count = world.firms, world.partner_firm[partner], len(partner)
    country = firms.country[firm]
    seller = ["1710" if far else "1010" for far in _OVERSEAS[country].tolist()]
    day = days(at)
    asked = dates(at // DAY + rng.integers(2, 22, count))
    edi = rng.integers(0, len(_USERS), count).tolist()
    reference = rng.integers(10_000, 9_999_999, count)
    return Columns(
        count,
        {
            "SalesOrder": numbers,
            "SalesOrderType": "OR",
            "SalesOrganization": seller,
            "DistributionChannel": "10",
            "OrganizationDivision": "00",
            "SalesGroup": "",
            "SalesOffice": "",
            "SoldToParty": [world.partner_number[place] for place in partner.tolist()],
            "CreationDate": day,
            "CreatedByUser": [_USERS[place] for place in edi],
            "LastChangeDate": day,
            "LastChangeDateTime": moments(at),
            "PurchaseOrderByCustomer": texts(reference, "PO-"),
            "CustomerPurchaseOrderDate": day,
            "SalesOrderDate": day,
            "PricingDate": day,
            "RequestedDeliveryDate": asked,
            "TotalNetAmount": decimals(net),
            "TransactionCurrency": [CODES[place] for place in _CURRENCY[country].tolist()],
            "SDDocumentReason": "",
            "ShippingCondition": "01",
            "CompleteDeliveryIsDefined": 0,
            "HeaderBillingBlockReason": "",
            "DeliveryBlockReason": "",
            "IncotermsClassification": ["DAP" if home else "FCA" for home in _HOME[country].tolist()],
            "IncotermsLocation1": [firms.city[place] for place in firm.tolist()],
            "CustomerPaymentTerms": [f"NT{term:02d}" for term in firms.payment_days[firm].tolist()],
            "PaymentMethod": "",
            "CustomerGroup": [f"{place + 1:02d}" for place in firms.industry[firm].tolist()],
            "OverallSDProcessStatus": "A",
            "OverallDeliveryStatus": "A",
            "TotalCreditCheckStatus": "A",
            "OverallSDDocumentRejectionSts": "A",
        },
    )


def _item_products(world: World, product: Array) -> dict[str, Column]:
    return {
        "SalesOrderItemCategory": "TAN",
        "SalesOrderItemText": [
            product_text(place, family) for place, family in zip(product.tolist(), world.group[product].tolist(), strict=True)
        ],
        "Product": [product_number(place) for place in product.tolist()],
        "ProductGroup": [f"L{family + 1:03d}" for family in world.group[product].tolist()],
        "RequestedQuantitySAPUnit": "PC",
        "ItemWeightSAPUnit": "KG",
        "NetPriceQuantity": "1",
        "NetPriceQuantitySAPUnit": "PC",
        "StorageLocation": "101A",
        "ShippingPoint": "1010",
        "SalesDocumentRjcnReason": "",
        "DeliveryStatus": "A",
        "SDProcessStatus": "A",
    }


FAMILIES = (
    "Drive shaft",
    "Gear unit",
    "Servo motor",
    "Ball bearing",
    "Coupling",
    "Control unit",
    "Linear guide",
    "Valve block",
    "Sensor",
    "Seal kit",
    "Brake",
    "Belt",
)


def product_number(place: int) -> str:
    """The key of the n-th product."""
    return f"FG-{FIRST_PRODUCT + place}"


def product_text(place: int, family: int) -> str:
    """What the n-th product is called."""
    return f"{FAMILIES[family % len(FAMILIES)]} {'ABCDEF'[place % 6]}{place // 6 + 10}"


def _roles(orders: Columns) -> Columns:
    """Who plays which part in each order: sold-to (AG), ship-to (WE), bill-to (RE) and payer (RG) are the customer."""
    roles = ("AG", "WE", "RE", "RG")
    customers = [customer for customer in orders.texts("SoldToParty") for _ in roles]
    return Columns(
        len(customers),
        {
            "SalesOrder": [number for number in orders.texts("SalesOrder") for _ in roles],
            "PartnerFunction": list(roles) * orders.count,
            "Customer": customers,
            "Supplier": "",
            "Personnel": "0",
            "ContactPerson": "0",
            "ReferenceBusinessPartner": customers,
            "AddressID": [address_number(customer) for customer in customers],
        },
    )


def address_number(partner: str) -> str:
    """The number of a business partner's address."""
    return f"2{partner[1:]}"


def order_score(drawn: Orders) -> risk.Floats:
    """The log-odds that each order's invoice is paid late."""
    return risk.log_odds(drawn.signals)
