{%- set touched %}
    select order_id from {{ changed('stg_s4__sales_order') }}
    union all
    select order_id from {{ changed('stg_s4__sales_order_item') }}
    union all
    select orders.order_id
    from {{ ref('stg_s4__sales_order') }} as orders
    inner join {{ changed('int_firm_member') }} as member on member.source = 's4' and orders.customer_id = member.record_id
    union all
    select orders.order_id
    from {{ ref('stg_s4__sales_order') }} as orders
    inner join {{ changed('int_exchange_rate') }} as rate on orders.currency = rate.currency and orders.ordered_on = rate.day
{%- endset %}

with orders as (
    select * from {{ ref('stg_s4__sales_order') }}
    where {{ touched_alone(['order_id'], touched) }}
),

items as (
    select
        order_id,
        count(*) as items,
        cast(sum(case when rejection_reason is null then 0 else 1 end) as bigint) as rejected_items,
        cast(sum(case when placed_quantity > 0 then 1 else 0 end) as bigint) as placed_items,
        -- Decimals add up to the same in whatever order they come.
        cast(sum(case when placed_quantity > 0 then cast(ln(cast(placed_quantity as double)) as decimal(18, 6)) else 0 end) as decimal(18, 6)) as placed_magnitude,
        {{ any_synthetic('_synthetic') }} as _synthetic
    from {{ ref('stg_s4__sales_order_item') }}
    where {{ needed_by('orders', 'order_id') }}
    group by order_id
)

select
    orders.order_id,
    coalesce(customer.firm_id, 's4:' || orders.customer_id) as firm_id,
    orders.customer_id,
    orders.order_type,
    orders.sales_organization,
    orders.ordered_on,
    orders.requested_on,
    orders.currency,
    orders.net_amount,
    {{ in_euros('orders.net_amount', 'orders.currency', 'rate.per_eur') }} as net_amount_eur,
    {{ in_euros('orders.placed_amount', 'orders.currency', 'rate.per_eur') }} as placed_eur,
    orders.payment_terms,
    {{ payment_days('orders.payment_terms') }} as payment_days,
    {{ payment_days('orders.placed_terms') }} as placed_payment_days,
    orders.customer_group,
    coalesce(items.items, 0) as items,
    coalesce(items.rejected_items, 0) as rejected_items,
    coalesce(items.placed_items, 0) as placed_items,
    coalesce(items.placed_magnitude, 0) as placed_magnitude,
    orders.delivery_block,
    orders.credit_status,
    orders.process_status,
    orders.delivery_status,
    (orders.rejection_status = 'C') as is_rejected,
    (orders.process_status = 'C') as is_complete,
    orders.changed_at,
    (
        orders._synthetic or coalesce(items._synthetic, false) or coalesce(customer._synthetic, false)
        or coalesce(rate._synthetic, false)
    ) as _synthetic
from orders
left join items
    on orders.order_id = items.order_id
left join {{ ref('int_customer_firm') }} as customer
    on orders.customer_id = customer.customer_id
left join {{ ref('int_exchange_rate') }} as rate
    on orders.currency = rate.currency and orders.ordered_on = rate.day
