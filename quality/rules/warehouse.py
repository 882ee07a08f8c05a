"""Rules for the warehouse's tables: credit bureau, exchange rates, industry indices, ownership."""

from __future__ import annotations

from typing import Final

from quality.rule import Rule, rules

_INDUSTRY: Final = r"^[A-Z]{2,10}$"

CREDIT_RATING: Final = rules(
    "sql/credit_rating",
    Rule(
        "grade is known",
        "expect_column_values_to_be_in_set",
        {"column": "rating_grade", "value_set": ["A", "B", "C", "D", "E"]},
        "quarantine",
    ),
    Rule("score is in range", "expect_column_values_to_be_between", {"column": "score", "min_value": 100, "max_value": 600}, "quarantine"),
    Rule("limit is not negative", "expect_column_values_to_be_between", {"column": "credit_limit_eur", "min_value": 0}, "quarantine"),
    Rule("firm has a name", "expect_column_values_to_match_regex", {"column": "firm_name", "regex": r"\S"}, "quarantine"),
    Rule("firm has a bureau number", "expect_column_values_to_not_be_null", {"column": "bureau_id"}, "quarantine"),
    Rule("country is an ISO code", "expect_column_values_to_match_regex", {"column": "country", "regex": r"^[A-Z]{2}$"}, "warn"),
    Rule(
        "rating date is plausible",
        "expect_column_values_to_be_between",
        {"column": "rated_on", "min_value": "1990-01-01", "max_value": "2100-01-01"},
        "quarantine",
    ),
    Rule("change time is there", "expect_column_values_to_not_be_null", {"column": "updated_at"}),
)
EXCHANGE_RATE: Final = rules(
    "sql/exchange_rate",
    Rule("currency is an ISO code", "expect_column_values_to_match_regex", {"column": "currency", "regex": r"^[A-Z]{3}$"}, "quarantine"),
    Rule("rate is there", "expect_column_values_to_not_be_null", {"column": "per_eur"}, "quarantine"),
    Rule(
        "rate is positive",
        "expect_column_values_to_be_between",
        {"column": "per_eur", "min_value": 0, "strict_min": True},
        "quarantine",
        description="Amounts are divided by it.",
    ),
    Rule(
        "day is plausible",
        "expect_column_values_to_be_between",
        {"column": "rate_date", "min_value": "1999-01-01", "max_value": "2100-01-01"},
        "quarantine",
    ),
    Rule("change time is there", "expect_column_values_to_not_be_null", {"column": "updated_at"}),
)
INDUSTRY_INDEX: Final = rules(
    "sql/industry_index",
    Rule(
        "snapshot is not empty",
        "expect_table_row_count_to_be_between",
        {"min_value": 1},
        description="Every read is complete, so an empty one would delete all indices.",
    ),
    Rule("industry is a code", "expect_column_values_to_match_regex", {"column": "industry", "regex": _INDUSTRY}, "quarantine"),
    Rule("output is not negative", "expect_column_values_to_be_between", {"column": "output_index", "min_value": 0}, "quarantine"),
    Rule(
        "insolvencies are a share of 10,000",
        "expect_column_values_to_be_between",
        {"column": "insolvencies_per_10000", "min_value": 0, "max_value": 10_000},
        "quarantine",
    ),
    Rule(
        "output is near its base",
        "expect_column_mean_to_be_between",
        {"column": "output_index", "min_value": 20, "max_value": 500},
        "warn",
        description="A year ago is 100: far from it, the base was changed.",
    ),
    Rule("no month twice", "expect_compound_columns_to_be_unique", {"column_list": ["industry", "month"]}),
)
OWNERSHIP: Final = rules(
    "sql/ownership",
    Rule(
        "snapshot is not empty",
        "expect_table_row_count_to_be_between",
        {"min_value": 1},
        description="Every read is complete, so an empty one would delete all ownership.",
    ),
    Rule(
        "share is a percentage",
        "expect_column_values_to_be_between",
        {"column": "share_percent", "min_value": 0, "max_value": 100, "strict_min": True},
        "quarantine",
    ),
    Rule(
        "no firm owns itself",
        "expect_select_column_values_to_be_unique_within_record",
        {"column_list": ["owner_id", "owned_id"]},
        "quarantine",
        description="Own shares would make every group of firms endless.",
    ),
    Rule("no link twice", "expect_compound_columns_to_be_unique", {"column_list": ["owner_id", "owned_id"]}),
)

RULES: Final = (*CREDIT_RATING, *EXCHANGE_RATE, *INDUSTRY_INDEX, *OWNERSHIP)
