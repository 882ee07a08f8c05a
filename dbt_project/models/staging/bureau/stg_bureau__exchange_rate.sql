select
    currency,
    rate_date as rated_on,
    per_eur,
    _row_id,
    _changed_at,
    _seen_at,
    _synthetic
from {{ current_rows('bureau', 'exchange_rate', {'currency': 'currency', 'rated_on': 'rate_date'}) }} as current_row
