"""What the company buys and keeps in its warehouse: bureau ratings, ownership, exchange rates and industry indices."""

from pilothouse.sandbox.company.schema import Entity, Field

GRADES = ("A", "B", "C", "D", "E")

CREDIT_RATING = Entity(
    "warehouse",
    "credit_rating",
    ("rating_id",),
    (
        Field("rating_id", "int", nullable=False, label="Rating"),
        Field("bureau_id", length=12, nullable=False, label="Firm's number at the bureau"),
        Field("firm_name", length=160, nullable=False, label="Firm as the register writes it"),
        Field("street", length=100, label="Street and house number"),
        Field("postal_code", length=12, label="Postal code"),
        Field("city", length=60, label="City"),
        Field("country", length=2, label="Country"),
        Field("tax_number", length=20, label="Tax number"),
        Field("industry", length=10, label="Industry"),
        Field("rating_grade", length=1, nullable=False, label="Grade, A best", picklist=GRADES),
        Field("score", "int", nullable=False, label="Score, 100 (best) to 600"),
        Field("credit_limit_eur", "decimal", precision=14, scale=2, label="Recommended limit"),
        Field("rated_on", "date", nullable=False, label="Rated on"),
        Field("is_current", "bool", nullable=False, label="Newest rating of its firm"),
        Field("updated_at", "datetime", nullable=False, label="Changed at"),
    ),
    label="Credit rating",
    changed="updated_at",
    indexes=(("updated_at",), ("bureau_id", "rated_on")),
)

EXCHANGE_RATE = Entity(
    "warehouse",
    "exchange_rate",
    ("currency", "rate_date"),
    (
        Field("currency", length=3, nullable=False, label="Currency"),
        Field("rate_date", "date", nullable=False, label="Day"),
        Field("per_eur", "decimal", precision=14, scale=6, nullable=False, label="Units for one euro"),
        Field("updated_at", "datetime", nullable=False, label="Changed at"),
    ),
    label="Exchange rate",
    changed="updated_at",
    indexes=(("updated_at",),),
)

INDUSTRY_INDEX = Entity(
    "warehouse",
    "industry_index",
    ("industry", "month"),
    (
        Field("industry", length=10, nullable=False, label="Industry", text="industry_name"),
        Field("industry_name", length=40, label="Industry in words"),
        Field("month", "date", nullable=False, label="First day of the month"),
        Field("output_index", "double", nullable=False, label="Output, a year ago = 100"),
        Field("insolvencies_per_10000", "double", nullable=False, label="Insolvencies among 10,000 firms"),
    ),
    label="Industry index",
)

OWNERSHIP = Entity(
    "warehouse",
    "ownership",
    ("owner_id", "owned_id"),
    (
        Field("owner_id", length=12, nullable=False, label="Owner's number at the bureau", reference="credit_rating.bureau_id"),
        Field("owned_id", length=12, nullable=False, label="Owned firm's number at the bureau", reference="credit_rating.bureau_id"),
        Field("owner_name", length=160, label="Owner"),
        Field("owned_name", length=160, label="Owned firm"),
        Field("share_percent", "decimal", precision=5, scale=2, nullable=False, label="Share"),
        Field("since", "date", label="Since"),
    ),
    label="Ownership",
)

WAREHOUSE: tuple[Entity, ...] = (CREDIT_RATING, EXCHANGE_RATE, INDUSTRY_INDEX, OWNERSHIP)
