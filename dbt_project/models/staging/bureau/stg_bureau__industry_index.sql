select
    industry,
    industry_name,
    month,
    output_index,
    insolvencies_per_10000,
    _row_id,
    _changed_at,
    _seen_at,
    _synthetic
from {{ current_rows('bureau', 'industry_index', {'industry': 'industry', 'month': 'month'}) }} as current_row
