"""What is known of a firm that owes overdue invoices, when somebody decides whether to chase it."""

from __future__ import annotations

from typing import Final

from models.trees.facts import Fact, Facts

RECEIVABLES: Final = Facts(
    name="receivables",
    description="What a firm owes that is overdue, how it pays, and what stands in the way of asking for it",
    own={
        "overdue_eur": Fact(type="number", least=0, step=0.01, missing=False, description="Open of its overdue invoices, in euros"),
        "invoices": Fact(type="integer", least=0, missing=False, description="Overdue invoices"),
        "oldest_days": Fact(type="integer", least=0, missing=False, description="Days for which the oldest of them is overdue"),
        "old_eur": Fact(
            type="number", least=0, step=0.01, missing=False, description="Of overdue_eur, what is overdue for more than 120 days"
        ),
        "chance": Fact(
            type="number",
            least=0,
            most=1,
            step=0.001,
            description="The share of overdue_eur that the payment model expects within 30 days; missing where no model is in force",
        ),
        "at_stake_eur": Fact(
            type="number", least=0, step=0.01, description="What of overdue_eur is not expected within 30 days; missing like chance"
        ),
        "settled": Fact(type="integer", least=0, missing=False, description="Invoices that it has settled, of the last 200"),
        "usual_days_late": Fact(type="number", description="Days after the due date on which it usually pays; missing without history"),
        "late_share": Fact(
            type="number", least=0, most=1, step=0.05, description="The share of them that came more than 30 days late; missing likewise"
        ),
        "complaints": Fact(
            type="integer", least=0, missing=False, description="Its open complaints and questions about bills in Salesforce"
        ),
        "graph.group_overdue": Fact(type="number", step=0.01, description="What its whole ownership group owes that is overdue"),
    },
)
