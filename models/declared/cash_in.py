"""How much customers pay in each of the next weeks, in all and by country."""

from __future__ import annotations

from models.forecast import CashForecast
from models.model import Bar, Features, Model, Split, Target

CASH_IN = Model(
    name="cash_in",
    description="Expected payments in each of the next eight weeks, in all and by country, with an interval that holds in four of five.",
    kind=CashForecast(weeks=8, coverage=0.8, series="country"),
    key=("series", "week_from"),
    features=Features(table="marts/fct_invoice", as_of="invoiced_on"),
    target=Target(table="marts/fct_payment", column="amount_eur", known_on="paid_on"),
    beside=("marts/fct_order", "marts/dim_firm"),
    split=Split(hold_out=0.35),
    beats=Bar(measure="scaled_error", by=0.01),
    owner="team:finance-data",
)
