select
    product_id,
    name,
    product_type,
    product_group,
    hierarchy,
    size_text,
    base_unit,
    gross_weight,
    net_weight,
    weight_unit,
    country_of_origin,
    is_discontinued,
    created_at,
    _synthetic
from {{ ref('stg_s4__product') }}
where {{ touched_alone(['product_id'], 'select product_id from ' ~ changed('stg_s4__product')) }}
