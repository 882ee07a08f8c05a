"""What is known of a doubt about data: two records that may be one firm, rows that a rule holds back, or a stream whose schema changed."""

from __future__ import annotations

from typing import Final

from models.trees.facts import Fact, Facts

STEWARDSHIP: Final = Facts(
    name="stewardship",
    description="Two records that may be one firm, rows that a rule holds back, or a changed stream; what is of another kind is missing",
    own={
        "kind": Fact(
            type="text",
            categories=("doubt", "held", "drift"),
            missing=False,
            description="doubt: two records; held: rows of a rule; drift: a stream that its source describes otherwise than before",
        ),
        "pair.together": Fact(type="bool", description="Whether they are taken as one firm"),
        "pair.said": Fact(type="text", categories=("same", "different"), description="What people said of them; missing where nobody did"),
        "pair.probability": Fact(type="number", least=0, most=1, step=0.0001, description="How likely they are one firm, by likeness"),
        "pair.name": Fact(type="text", description="How their names compare; missing where one has none"),
        "pair.tax_number": Fact(type="text", description="How their tax numbers compare; missing where one has none"),
        "pair.place": Fact(type="text", description="How their places compare; missing where one has none"),
        "held.rows": Fact(type="integer", least=0, description="Rows that the rule holds back"),
        "held.replaced": Fact(type="integer", least=0, description="Of the first 25, those of which a newer version went through since"),
        "held.missing_share": Fact(type="number", least=0, most=1, step=0.01, description="The share of them without a value"),
        "held.common_share": Fact(type="number", least=0, most=1, step=0.01, description="The share of them with the commonest value"),
        "held.broken": Fact(
            type="integer", least=0, description="Of them, what the rule would hold back now; missing where that is not known"
        ),
        "held.lacking": Fact(
            type="number",
            least=0,
            most=1,
            step=0.01,
            description="The share with one value that the rule's set lacks; missing of other rules",
        ),
        "held.beyond": Fact(
            type="number",
            least=0,
            step=0.0001,
            description="How far beyond its bounds they are, as a share of what is within; missing of others",
        ),
        "drift.refused": Fact(type="bool", description="Whether nothing of the stream is loaded because of it"),
        "drift.policy": Fact(type="text", categories=("hold", "block"), description="hold: a person may accept it; block: nobody may"),
        "drift.retyped": Fact(type="integer", least=0, description="Columns whose type is another, and no wider one"),
        "drift.read": Fact(
            type="integer", least=0, description="Changed columns that a table, a rule or the loader reads; missing where that is not known"
        ),
    },
)
