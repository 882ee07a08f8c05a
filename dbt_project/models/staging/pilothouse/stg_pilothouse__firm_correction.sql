{%- set key = {'left_record': 'left_record', 'right_record': 'right_record'} -%}
select
    left_record,
    right_record,
    verdict,
    reason,
    said_by,
    said_at,
    _row_id,
    _changed_at,
    _seen_at,
    _synthetic
from {{ current_rows('pilothouse', 'firm_correction', key) }} as current_row
