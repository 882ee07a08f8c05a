{#-
    What became of an order's invoices: what the features are worth is learnt from it. An invoice is late when it is paid more
    than thirty days after it was due, or never; from `known_on` on that can be said of all of the order's invoices.
-#}
{%- set touched %}
    select order_id from {{ changed('fct_invoice') }} where order_id is not null
{%- endset %}

select
    order_id,
    max(firm_id) as firm_id,
    count(*) as invoices,
    min(invoiced_on) as invoiced_on,
    max(due_on) as due_on,
    cast(sum(owed_eur) as decimal(18, 2)) as owed_eur,
    cast(sum(paid_eur) as decimal(18, 2)) as paid_eur,
    max(case when paid_on is null or days_late > 30 then 1 else 0 end) = 1 as is_late,
    max(
        case
            when paid_on is null or days_late > 30 then cast({{ dbt.dateadd('day', 31, 'due_on') }} as date)
            else paid_on
        end
    ) as known_on,
    max(cast({{ dbt.dateadd('day', 31, 'due_on') }} as date)) as decided_on,
    max(days_late) as days_late,
    case when min(case when paid_on is null then 0 else 1 end) = 1 then max(paid_on) end as settled_on,
    min(case when paid_on is null then 0 else 1 end) = 1 as is_settled,
    {{ any_synthetic('_synthetic') }} as _synthetic
from {{ ref('fct_invoice') }}
where order_id is not null and due_on is not null and not is_cancelled
    and {{ touched_alone(['order_id'], touched) }}
group by order_id
