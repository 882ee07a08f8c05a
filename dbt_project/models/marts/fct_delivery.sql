{%- set touched %}
    select delivery_id from {{ changed('stg_s4__delivery') }}
    union all
    select delivery.delivery_id
    from {{ ref('stg_s4__delivery') }} as delivery
    inner join {{ changed('int_firm_member') }} as member on member.source = 's4' and delivery.customer_id = member.record_id
{%- endset %}

select
    delivery.delivery_id,
    coalesce(customer.firm_id, 's4:' || delivery.customer_id) as firm_id,
    delivery.customer_id,
    delivery.ship_to_id,
    delivery.shipping_point,
    delivery.created_on,
    delivery.promised_on,
    delivery.planned_on,
    delivery.shipped_on,
    cast({{ dbt.datediff('delivery.planned_on', 'delivery.shipped_on', 'day') }} as bigint) as days_late,
    (delivery.shipped_on is not null) as is_shipped,
    delivery.gross_weight,
    delivery.net_weight,
    delivery.weight_unit,
    (delivery._synthetic or coalesce(customer._synthetic, false)) as _synthetic
from {{ ref('stg_s4__delivery') }} as delivery
left join {{ ref('int_customer_firm') }} as customer
    on delivery.customer_id = customer.customer_id
where {{ touched_alone(['delivery.delivery_id'], touched) }}
