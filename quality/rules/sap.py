"""Rules for SAP S/4HANA's streams, by the property names that SAP publishes.

SAP writes an empty field as an empty text more often than as null, so that a field which must be filled has two rules: it is
there, and it looks like what it is.
"""

from __future__ import annotations

from typing import Final

from quality.rule import Rule, rules

_CURRENCY: Final = r"^[A-Z]{3}$"
_NUMBER: Final = r"^[0-9A-Z]{1,10}$"  # a document, partner or customer number, with or without leading zeros
_NO_DAY: Final = "1970-01-01"  # SAP's initial date, and what is migrated from older systems, lies before
_LAST_DAY: Final = "2100-01-01"

BUSINESS_PARTNER: Final = rules(
    "sap/business_partner",
    Rule(
        "partner number is well formed",
        "expect_column_values_to_match_regex",
        {"column": "BusinessPartner", "regex": _NUMBER},
        "quarantine",
    ),
    Rule(
        "partner has a name",
        "expect_column_values_to_not_be_null",
        {"column": "BusinessPartnerFullName"},
        "quarantine",
        description="Without a name no Salesforce account can be matched with it.",
    ),
    Rule("name is not blank", "expect_column_values_to_match_regex", {"column": "BusinessPartnerFullName", "regex": r"\S"}, "quarantine"),
    Rule(
        "category is known",
        "expect_column_values_to_be_in_set",
        {"column": "BusinessPartnerCategory", "value_set": ["1", "2", "3"]},
        "warn",
    ),
    Rule(
        "creation date is plausible",
        "expect_column_values_to_be_between",
        {"column": "CreationDate", "min_value": _NO_DAY, "max_value": _LAST_DAY},
        "warn",
    ),
    Rule(
        "most partners are customers",
        "expect_column_values_to_not_be_null",
        {"column": "Customer", "mostly": 0.5},
        "warn",
        description="Orders are joined by customer number: if most are missing, the read lacks an authorisation.",
    ),
)
BUSINESS_PARTNER_ADDRESS: Final = rules(
    "sap/business_partner_address",
    Rule(
        "snapshot is not empty",
        "expect_table_row_count_to_be_between",
        {"min_value": 1},
        description="Every read is complete, so an empty one would delete all addresses.",
    ),
    Rule("country is an ISO code", "expect_column_values_to_match_regex", {"column": "Country", "regex": r"^([A-Z]{2})?$"}, "quarantine"),
    Rule("address has a city", "expect_column_values_to_match_regex", {"column": "CityName", "regex": r"\S"}, "warn"),
    Rule(
        "postal code has no odd signs",
        "expect_column_values_to_match_regex",
        {"column": "PostalCode", "regex": r"^[0-9A-Za-z -]*$"},
        "warn",
    ),
)
BUSINESS_PARTNER_TAX_NUMBER: Final = rules(
    "sap/business_partner_tax_number",
    Rule(
        "snapshot is not empty",
        "expect_table_row_count_to_be_between",
        {"min_value": 1},
        description="Every read is complete, so an empty one would delete all tax numbers.",
    ),
    Rule("tax number is there", "expect_column_values_to_not_be_null", {"column": "BPTaxNumber", "mostly": 0.95}, "warn"),
    Rule(
        "tax number has no odd signs",
        "expect_column_values_to_match_regex",
        {"column": "BPTaxNumber", "regex": r"^[0-9A-Za-z ./-]*$"},
        "warn",
    ),
)
SALES_ORDER: Final = rules(
    "sap/sales_order",
    Rule("order number is well formed", "expect_column_values_to_match_regex", {"column": "SalesOrder", "regex": _NUMBER}, "quarantine"),
    Rule("order has a customer", "expect_column_values_to_not_be_null", {"column": "SoldToParty"}, "quarantine"),
    Rule(
        "customer number is well formed", "expect_column_values_to_match_regex", {"column": "SoldToParty", "regex": _NUMBER}, "quarantine"
    ),
    Rule("order has a currency", "expect_column_values_to_not_be_null", {"column": "TransactionCurrency"}, "quarantine"),
    Rule(
        "currency is an ISO code",
        "expect_column_values_to_match_regex",
        {"column": "TransactionCurrency", "regex": _CURRENCY},
        "quarantine",
    ),
    Rule(
        "amount is not negative",
        "expect_column_values_to_be_between",
        {"column": "TotalNetAmount", "min_value": 0},
        "quarantine",
        description="SAP writes returns as documents of their own type with positive amounts.",
    ),
    Rule(
        "creation date is plausible",
        "expect_column_values_to_be_between",
        {"column": "CreationDate", "min_value": _NO_DAY, "max_value": _LAST_DAY},
        "quarantine",
    ),
    Rule(
        "status is known",
        "expect_column_values_to_be_in_set",
        {"column": "OverallSDProcessStatus", "value_set": ["", "A", "B", "C"]},
        "warn",
    ),
    Rule(
        "credit status is known",
        "expect_column_values_to_be_in_set",
        {"column": "TotalCreditCheckStatus", "value_set": ["", "A", "B", "C", "D"]},
        "warn",
    ),
)
SALES_ORDER_ITEM: Final = rules(
    "sap/sales_order_item",
    Rule("item has a product", "expect_column_values_to_not_be_null", {"column": "Product"}, "quarantine"),
    Rule("quantity is not negative", "expect_column_values_to_be_between", {"column": "RequestedQuantity", "min_value": 0}, "quarantine"),
    Rule(
        "quantity has a unit", "expect_column_values_to_match_regex", {"column": "RequestedQuantitySAPUnit", "regex": r"\S"}, "quarantine"
    ),
    Rule("amount is not negative", "expect_column_values_to_be_between", {"column": "NetAmount", "min_value": 0}, "quarantine"),
    Rule(
        "currency is an ISO code",
        "expect_column_values_to_match_regex",
        {"column": "TransactionCurrency", "regex": _CURRENCY},
        "quarantine",
    ),
    Rule("status is known", "expect_column_values_to_be_in_set", {"column": "SDProcessStatus", "value_set": ["", "A", "B", "C"]}, "warn"),
)
SALES_ORDER_PARTNER: Final = rules(
    "sap/sales_order_partner",
    Rule(
        "function is well formed",
        "expect_column_values_to_match_regex",
        {"column": "PartnerFunction", "regex": r"^[A-Z0-9]{2}$"},
        "quarantine",
    ),
    Rule(
        "customer number is well formed",
        "expect_column_values_to_match_regex",
        {"column": "Customer", "regex": r"^[0-9A-Z]{0,10}$"},
        "warn",
    ),
)
OUTBOUND_DELIVERY: Final = rules(
    "sap/outbound_delivery",
    Rule(
        "delivery number is well formed",
        "expect_column_values_to_match_regex",
        {"column": "DeliveryDocument", "regex": _NUMBER},
        "quarantine",
    ),
    Rule("delivery has a customer", "expect_column_values_to_not_be_null", {"column": "SoldToParty"}, "quarantine"),
    Rule(
        "goods do not leave before history",
        "expect_column_values_to_be_between",
        {"column": "ActualGoodsMovementDate", "min_value": _NO_DAY, "max_value": _LAST_DAY},
        "quarantine",
    ),
    Rule("weight is not negative", "expect_column_values_to_be_between", {"column": "HeaderGrossWeight", "min_value": 0}, "quarantine"),
    Rule(
        "gross weighs no less than net",
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "HeaderGrossWeight", "column_B": "HeaderNetWeight", "or_equal": True, "ignore_row_if": "either_value_is_missing"},
        "warn",
    ),
    Rule(
        "status is known",
        "expect_column_values_to_be_in_set",
        {"column": "OverallSDProcessStatus", "value_set": ["", "A", "B", "C"]},
        "warn",
    ),
)
BILLING_DOCUMENT: Final = rules(
    "sap/billing_document",
    Rule(
        "invoice number is well formed",
        "expect_column_values_to_match_regex",
        {"column": "BillingDocument", "regex": _NUMBER},
        "quarantine",
    ),
    Rule("invoice has a customer", "expect_column_values_to_not_be_null", {"column": "SoldToParty"}, "quarantine"),
    Rule(
        "customer number is well formed", "expect_column_values_to_match_regex", {"column": "SoldToParty", "regex": _NUMBER}, "quarantine"
    ),
    Rule("invoice has an amount", "expect_column_values_to_not_be_null", {"column": "TotalNetAmount"}, "quarantine"),
    Rule("amount is not negative", "expect_column_values_to_be_between", {"column": "TotalNetAmount", "min_value": 0}, "quarantine"),
    Rule("tax is not negative", "expect_column_values_to_be_between", {"column": "TaxAmount", "min_value": 0}, "quarantine"),
    Rule(
        "currency is an ISO code",
        "expect_column_values_to_match_regex",
        {"column": "TransactionCurrency", "regex": _CURRENCY},
        "quarantine",
    ),
    Rule(
        "invoice date is plausible",
        "expect_column_values_to_be_between",
        {"column": "BillingDocumentDate", "min_value": _NO_DAY, "max_value": _LAST_DAY},
        "quarantine",
    ),
)
JOURNAL_ITEM: Final = rules(
    "sap/journal_item",
    Rule(
        "fiscal year is a year", "expect_column_values_to_match_regex", {"column": "FiscalYear", "regex": r"^[12][0-9]{3}$"}, "quarantine"
    ),
    Rule("item has an amount", "expect_column_values_to_not_be_null", {"column": "AmountInCompanyCodeCurrency"}, "quarantine"),
    Rule(
        "company currency is an ISO code",
        "expect_column_values_to_match_regex",
        {"column": "CompanyCodeCurrency", "regex": _CURRENCY},
        "quarantine",
    ),
    Rule(
        "currency is an ISO code",
        "expect_column_values_to_match_regex",
        {"column": "TransactionCurrency", "regex": _CURRENCY},
        "quarantine",
    ),
    Rule(
        "item is debit or credit", "expect_column_values_to_be_in_set", {"column": "DebitCreditCode", "value_set": ["S", "H"]}, "quarantine"
    ),
    Rule(
        "posting date is plausible",
        "expect_column_values_to_be_between",
        {"column": "PostingDate", "min_value": _NO_DAY, "max_value": _LAST_DAY},
        "quarantine",
    ),
    Rule(
        "due date is plausible",
        "expect_column_values_to_be_between",
        {"column": "NetDueDate", "min_value": _NO_DAY, "max_value": _LAST_DAY},
        "quarantine",
        description="Days overdue are counted from it; one wrong century makes a firm a defaulter.",
    ),
    Rule(
        "cleared no earlier than posted",
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "ClearingDate", "column_B": "PostingDate", "or_equal": True, "ignore_row_if": "either_value_is_missing"},
        "warn",
    ),
)
PRODUCT: Final = rules(
    "sap/product",
    Rule("product number is not blank", "expect_column_values_to_match_regex", {"column": "Product", "regex": r"\S"}, "quarantine"),
    Rule("product has a base unit", "expect_column_values_to_not_be_null", {"column": "BaseUnit"}, "quarantine"),
    Rule("weight is not negative", "expect_column_values_to_be_between", {"column": "GrossWeight", "min_value": 0}, "quarantine"),
    Rule(
        "gross weighs no less than net",
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "GrossWeight", "column_B": "NetWeight", "or_equal": True, "ignore_row_if": "either_value_is_missing"},
        "warn",
    ),
    Rule("product has a type", "expect_column_values_to_not_be_null", {"column": "ProductType"}, "warn"),
)

RULES: Final = (
    *BUSINESS_PARTNER,
    *BUSINESS_PARTNER_ADDRESS,
    *BUSINESS_PARTNER_TAX_NUMBER,
    *SALES_ORDER,
    *SALES_ORDER_ITEM,
    *SALES_ORDER_PARTNER,
    *OUTBOUND_DELIVERY,
    *BILLING_DOCUMENT,
    *JOURNAL_ITEM,
    *PRODUCT,
)
