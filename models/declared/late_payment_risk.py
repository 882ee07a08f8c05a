"""How likely the invoices of an order are paid more than thirty days late, or never."""

from __future__ import annotations

from typing import Final

from models.classifier import AdditiveClassifier
from models.model import Bar, Category, Features, Model, Number, Scenario, Shift, Split, Target

_BENDS: Final = 1  # straight: bends ranked no better on the later part of what is learned from
_GRADE_STEP: Final = 65.0  # points of the score from one grade of the bureau to the next

LATE_PAYMENT_RISK = Model(
    name="late_payment_risk",
    description="How likely an order's invoices are paid more than 30 days late, or never, from what was known when it was placed.",
    kind=AdditiveClassifier(strength=0.5),
    key=("order_id",),
    features=Features(
        table="features/feat_order_risk",
        as_of="ordered_on",
        columns=(
            Number("mean_rating_score", "rating score so far", bends=_BENDS),
            Number("usual_days_late", "days it usually pays after the due date", bends=_BENDS),
            Number("late_share", "share of its earlier invoices that were late", bends=_BENDS),
            Number("invoices_slow_and_open", "invoices open 12 to 30 days after they were due", bends=_BENDS),
            Number("worst_owner_score", "worst score among its owners", bends=_BENDS),
            Number("owners_in_distress", "an owner in distress", bends=_BENDS),
            Number("items_against_usual", "quantities of its items against its usual ones", bends=_BENDS),
            Number("order_haste", "orders of late against those of a firm of its size", at=(-4.0, -1.0, 1.0, 3.0, 6.0)),
            Number("customer_for_days", "days as a customer", at=(0.0, 60.0, 120.0, 180.0, 365.0)),
            Number("cases_against_usual", "cases against those of a firm of its size", bends=_BENDS),
            Number("industry_output", "output of its industry", bends=_BENDS),
            Number("industry_insolvencies", "insolvencies in its industry", bends=_BENDS),
            Category("country", "country"),
        ),
    ),
    target=Target(table="features/feat_order_outcome", column="is_late", known_on="decided_on"),
    split=Split(hold_out=0.2, calibrate=0.1),
    beats=Bar(measure="log_loss", by=0.002),
    scenarios=(
        Scenario(
            "rating-drops",
            "The rating of every firm falls by two grades",
            (Shift("mean_rating_score", plus=2 * _GRADE_STEP),),
        ),
        Scenario("industry-slumps", "The output index of every industry falls by 20 %", (Shift("industry_output", times=0.8),)),
        Scenario("insolvencies-rise", "Insolvencies in every industry rise by half", (Shift("industry_insolvencies", times=1.5),)),
    ),
)
