{%- set touched %}
    select order_id, item_id from {{ changed('stg_s4__sales_order_item') }}
{%- endset %}

select
    order_id,
    item_id,
    product_id,
    product_group,
    item_category,
    quantity,
    unit,
    net_amount,
    net_price,
    tax_amount,
    currency,
    net_weight,
    weight_unit,
    plant,
    (rejection_reason is not null) as is_rejected,
    delivery_status,
    process_status,
    _synthetic
from {{ ref('stg_s4__sales_order_item') }}
where {{ touched_alone(['order_id', 'item_id'], touched) }}
