select
    owner_id,
    owned_id,
    owner_name,
    owned_name,
    share_percent,
    since,
    _row_id,
    _changed_at,
    _seen_at,
    _synthetic
from {{ current_rows('bureau', 'ownership', {'owner_id': 'owner_id', 'owned_id': 'owned_id'}) }} as current_row
