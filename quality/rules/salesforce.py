"""Rules for Salesforce's standard objects.

People type into Salesforce, so most of what is wrong there is opinion, not damage: few rules hold rows back, many warn.
"""

from __future__ import annotations

from typing import Final

from quality.rule import Rule, rules

_ID: Final = r"^[0-9A-Za-z]{18}$"  # 15 characters that know upper from lower case, and 3 that check them
_EMAIL: Final = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"


def _id_rule(what: str) -> Rule:
    return Rule(f"{what} id is well formed", "expect_column_values_to_match_regex", {"column": "Id", "regex": _ID}, "quarantine")


ACCOUNT: Final = rules(
    "salesforce/account",
    _id_rule("account"),
    Rule("account has a name", "expect_column_values_to_not_be_null", {"column": "Name"}, "quarantine"),
    Rule("name is not blank", "expect_column_values_to_match_regex", {"column": "Name", "regex": r"\S"}, "quarantine"),
    Rule("revenue is not negative", "expect_column_values_to_be_between", {"column": "AnnualRevenue", "min_value": 0}, "warn"),
    Rule("head count is not negative", "expect_column_values_to_be_between", {"column": "NumberOfEmployees", "min_value": 0}, "warn"),
    Rule(
        "account is not its own parent",
        "expect_select_column_values_to_be_unique_within_record",
        {"column_list": ["Id", "ParentId"], "ignore_row_if": "any_value_is_missing"},
        "quarantine",
        description="A hierarchy that contains itself has no top.",
    ),
    Rule("change time is there", "expect_column_values_to_not_be_null", {"column": "SystemModstamp"}),
)
CONTACT: Final = rules(
    "salesforce/contact",
    _id_rule("contact"),
    Rule("contact has a last name", "expect_column_values_to_not_be_null", {"column": "LastName"}, "quarantine"),
    Rule("email looks like one", "expect_column_values_to_match_regex", {"column": "Email", "regex": _EMAIL, "mostly": 0.98}, "warn"),
    Rule("most contacts have an account", "expect_column_values_to_not_be_null", {"column": "AccountId", "mostly": 0.8}, "warn"),
    Rule("change time is there", "expect_column_values_to_not_be_null", {"column": "SystemModstamp"}),
)
OPPORTUNITY: Final = rules(
    "salesforce/opportunity",
    _id_rule("opportunity"),
    Rule("opportunity has a stage", "expect_column_values_to_not_be_null", {"column": "StageName"}, "quarantine"),
    Rule("opportunity has a close date", "expect_column_values_to_not_be_null", {"column": "CloseDate"}, "quarantine"),
    Rule(
        "close date is plausible",
        "expect_column_values_to_be_between",
        {"column": "CloseDate", "min_value": "1990-01-01", "max_value": "2100-01-01"},
        "warn",
    ),
    Rule("amount is not negative", "expect_column_values_to_be_between", {"column": "Amount", "min_value": 0}, "quarantine"),
    Rule(
        "probability is a percentage",
        "expect_column_values_to_be_between",
        {"column": "Probability", "min_value": 0, "max_value": 100},
        "quarantine",
    ),
    Rule(
        "stage is known",
        "expect_column_values_to_be_in_set",
        {
            "column": "StageName",
            "value_set": [
                "Prospecting",
                "Qualification",
                "Needs Analysis",
                "Value Proposition",
                "Id. Decision Makers",
                "Perception Analysis",
                "Proposal/Price Quote",
                "Negotiation/Review",
                "Closed Won",
                "Closed Lost",
            ],
        },
        "warn",
    ),
    Rule("change time is there", "expect_column_values_to_not_be_null", {"column": "SystemModstamp"}),
)
CASE: Final = rules(
    "salesforce/case",
    _id_rule("case"),
    Rule("case has a number", "expect_column_values_to_not_be_null", {"column": "CaseNumber"}, "quarantine"),
    Rule("case has a status", "expect_column_values_to_not_be_null", {"column": "Status"}, "quarantine"),
    Rule("priority is known", "expect_column_values_to_be_in_set", {"column": "Priority", "value_set": ["High", "Medium", "Low"]}, "warn"),
    Rule(
        "closed no earlier than opened",
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "ClosedDate", "column_B": "CreatedDate", "or_equal": True, "ignore_row_if": "either_value_is_missing"},
        "quarantine",
        description="Its time to resolution would be negative.",
    ),
    Rule("change time is there", "expect_column_values_to_not_be_null", {"column": "SystemModstamp"}),
)

RULES: Final = (*ACCOUNT, *CONTACT, *OPPORTUNITY, *CASE)
