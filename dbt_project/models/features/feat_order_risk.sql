{#-
    What was known of a customer when it placed an order: of facts dated before the order's day, and nothing else. A state that
    carries no date of its own counts only where its row has not changed since.
-#}
{%- set spans = [14, 30, 60, 120, 180] %}
{%- set firms %}
    select firm_id from {{ changed('fct_order') }}
    union all
    select firm_id from {{ changed('fct_invoice') }}
    union all
    select firm_id from {{ changed('fct_rating') }}
    union all
    select firm_id from {{ changed('fct_case') }} where firm_id is not null
    union all
    select firm_id from {{ changed('dim_firm') }}
    union all
    select firm_id from {{ changed('int_owner') }}
    union all
    select owner.firm_id from {{ ref('int_owner') }} as owner inner join {{ changed('fct_rating') }} as rating on owner.owner_firm_id = rating.firm_id
    union all
    select firm.firm_id from {{ ref('dim_firm') }} as firm inner join {{ changed('stg_bureau__industry_index') }} as changed_index on firm.first_industry = changed_index.industry
{%- endset %}

with orders as (
    select order_id, firm_id, ordered_on, placed_eur, placed_payment_days, placed_items, placed_magnitude, _synthetic
    from {{ ref('fct_order') }}
    where {{ touched_groups(['firm_id'], firms, asked_by=['order_id']) }}
),

earlier_orders as (
    select
        orders.order_id,
        count(*) as orders_before,
        cast(sum(case when {{ dbt.datediff('earlier.ordered_on', 'orders.ordered_on', 'day') }} <= 30 then 1 else 0 end) as bigint) as orders_30d,
        cast(sum(case when {{ dbt.datediff('earlier.ordered_on', 'orders.ordered_on', 'day') }} <= 90 then 1 else 0 end) as bigint) as orders_90d,
        {%- for days in spans if days != 30 %}
        cast(sum(case when {{ dbt.datediff('earlier.ordered_on', 'orders.ordered_on', 'day') }} <= {{ days }} then 1 else 0 end) as bigint) as orders_{{ days }}d,
        {%- endfor %}
        cast(sum(earlier.placed_eur) as decimal(18, 2)) as ordered_eur,
        cast(max(earlier.placed_eur) as decimal(18, 2)) as largest_order_eur,
        cast(sum(earlier.placed_items) as bigint) as placed_items,
        cast(sum(earlier.placed_magnitude) as decimal(18, 6)) as placed_magnitude,
        min(earlier.ordered_on) as first_ordered_on,
        {{ any_synthetic('earlier._synthetic') }} as _synthetic
    from orders
    inner join {{ ref('fct_order') }} as earlier
        on orders.firm_id = earlier.firm_id and earlier.ordered_on < orders.ordered_on
    where {{ asked_for('earlier.firm_id', 'firm_id') }}
    group by orders.order_id
),

earlier_invoices as (
    select
        orders.order_id,
        cast(sum(case when invoice.paid_on < orders.ordered_on then 1 else 0 end) as bigint) as settled,
        cast(sum(case when invoice.paid_on < orders.ordered_on then invoice.days_late else 0 end) as bigint) as days_late_settled,
        cast(sum(case when invoice.paid_on < orders.ordered_on and invoice.days_late > 0 then 1 else 0 end) as bigint) as settled_overdue,
        cast(sum(
            case
                when invoice.paid_on < orders.ordered_on and invoice.days_late > 30 then 1
                when invoice.paid_on is not null and invoice.paid_on < orders.ordered_on then 0
                when {{ dbt.datediff('invoice.due_on', 'orders.ordered_on', 'day') }} > 30 then 1
                else 0
            end
        ) as bigint) as late,
        cast(sum(
            case
                when invoice.paid_on is not null and invoice.paid_on < orders.ordered_on then 0
                when {{ dbt.datediff('invoice.due_on', 'orders.ordered_on', 'day') }} > 30 then 1
                else 0
            end
        ) as bigint) as late_and_open,
        cast(sum(case when {{ dbt.datediff('invoice.due_on', 'orders.ordered_on', 'day') }} > 30 then 1 else 0 end) as bigint) as decided,
        cast(sum(case when invoice.paid_on < orders.ordered_on and invoice.days_late <= 30 then 1 else 0 end) as bigint) as settled_in_time,
        cast(sum(case when invoice.paid_on < orders.ordered_on and invoice.days_late <= 30 then invoice.days_late else 0 end) as bigint) as days_late_in_time,
        cast(sum(
            case
                when invoice.paid_on is not null and invoice.paid_on < orders.ordered_on then 0
                when {{ dbt.datediff('invoice.due_on', 'orders.ordered_on', 'day') }} between 12 and 30 then 1
                else 0
            end
        ) as bigint) as slow,
        cast(sum(case when invoice.paid_on is null or invoice.paid_on >= orders.ordered_on then invoice.owed_eur else 0 end) as decimal(18, 2)) as open_eur,
        cast(sum(
            case when (invoice.paid_on is null or invoice.paid_on >= orders.ordered_on) and invoice.due_on < orders.ordered_on then invoice.owed_eur else 0 end
        ) as decimal(18, 2)) as overdue_eur,
        {{ any_synthetic('invoice._synthetic') }} as _synthetic
    from orders
    inner join {{ ref('fct_invoice') }} as invoice
        on orders.firm_id = invoice.firm_id and invoice.invoiced_on < orders.ordered_on
    where not invoice.is_cancelled and invoice.due_on is not null and {{ asked_for('invoice.firm_id', 'firm_id') }}
    group by orders.order_id
),

rated as (
    select
        orders.order_id,
        rating.score,
        rating.grade,
        rating.rated_on,
        -- The bureau gives credit by size: so much for each point that a score is better than the worst one.
        case when rating.score < 600 then cast(rating.credit_limit_eur as double) / (2500 * (600 - rating.score)) end as firm_size,
        rating._synthetic,
        row_number() over (partition by orders.order_id order by rating.rated_on desc, rating.rating_id desc) as age
    from orders
    inner join {{ ref('fct_rating') }} as rating
        on orders.firm_id = rating.firm_id and rating.rated_on < orders.ordered_on
),

paced as (
    select
        earlier_orders.*,
        cast({{ dbt.datediff('earlier_orders.first_ordered_on', 'orders.ordered_on', 'day') }} as bigint) as ordering_for_days,
        rating.firm_size
    from earlier_orders
    inner join orders
        on earlier_orders.order_id = orders.order_id
    left join rated as rating
        on earlier_orders.order_id = rating.order_id and rating.age = 1
),

spans as (
    {%- for days in spans %}
    select cast({{ days }} as bigint) as days
    {{- ' union all' if not loop.last }}
    {%- endfor %}
),

-- A firm of size 1 orders once in 30 days. Who orders four times as often places so many more that of each order it is four times as
-- likely; and that there were no more, three orders' worth of time less. The first order of all begins the time and says nothing.
hasty as (
    select
        paced.order_id,
        1.386294361e0 * (
            case
                {%- for days in spans %}
                when spans.days = {{ days }} then paced.orders_{{ days }}d
                {%- endfor %}
            end - case when paced.ordering_for_days <= spans.days then 1 else 0 end
        )
        - 0.1e0 * paced.firm_size * case when paced.ordering_for_days < spans.days then paced.ordering_for_days else spans.days end as haste
    from paced
    cross join spans
),

haste as (
    select order_id, max(haste) as haste
    from hasty
    group by order_id
),

ratings as (
    select order_id, avg(score) as mean_score, {{ any_synthetic('_synthetic') }} as _synthetic
    from rated
    group by order_id
),

owners_rated as (
    select
        orders.order_id,
        rating.score,
        rating.grade,
        (owner._synthetic or rating._synthetic) as _synthetic,
        row_number() over (
            partition by orders.order_id, owner.owner_firm_id order by rating.rated_on desc, rating.rating_id desc
        ) as age
    from orders
    inner join {{ ref('int_owner') }} as owner
        on orders.firm_id = owner.firm_id and (owner.since is null or owner.since < orders.ordered_on)
    inner join {{ ref('fct_rating') }} as rating
        on owner.owner_firm_id = rating.firm_id and rating.rated_on < orders.ordered_on
),

owners as (
    select
        order_id,
        max(score) as worst_owner_score,
        cast(max(case when grade = 'E' then 1 else 0 end) as bigint) as owners_in_distress,
        {{ any_synthetic('_synthetic') }} as _synthetic
    from owners_rated
    where age = 1
    group by order_id
),

earlier_cases as (
    select
        orders.order_id,
        cast(sum(case when {{ dbt.datediff('reported.opened_on', 'orders.ordered_on', 'day') }} <= 180 then 1 else 0 end) as bigint) as cases_180d,
        cast(sum(
            case
                when {{ dbt.datediff('reported.opened_on', 'orders.ordered_on', 'day') }} <= 180 and reported.is_escalated
                    and reported.changed_on < orders.ordered_on then 1
                else 0
            end
        ) as bigint) as escalated_180d,
        cast(sum(case when reported.closed_on is null or reported.closed_on >= orders.ordered_on then 1 else 0 end) as bigint) as open_cases,
        cast(sum(
            1 + case when reported.changed_on < orders.ordered_on and reported.case_type in ('Complaint', 'Billing') then 2 else 0 end
            + case when reported.changed_on < orders.ordered_on and reported.is_escalated then 2 else 0 end
        ) as bigint) as severity,
        {{ any_synthetic('reported._synthetic') }} as _synthetic
    from orders
    inner join (
        select
            firm_id,
            case_type,
            is_escalated,
            cast(opened_at as date) as opened_on,
            cast(closed_at as date) as closed_on,
            cast(changed_at as date) as changed_on,
            _synthetic
        from {{ ref('fct_case') }}
        where {{ asked_for('firm_id', 'firm_id') }}
    ) as reported
        on orders.firm_id = reported.firm_id and reported.opened_on < orders.ordered_on
    group by orders.order_id
)

select
    orders.order_id,
    orders.firm_id,
    orders.ordered_on,
    orders.placed_eur,
    orders.placed_payment_days as payment_days,
    firm.first_country as country,
    firm.first_industry as industry,
    cast({{ dbt.datediff('firm.customer_since', 'orders.ordered_on', 'day') }} as bigint) as customer_for_days,
    coalesce(earlier_orders.orders_before, 0) as orders_before,
    coalesce(earlier_orders.orders_30d, 0) as orders_30d,
    coalesce(earlier_orders.orders_90d, 0) as orders_90d,
    case when rating.firm_size is not null then round(coalesce(haste.haste, 0), 9) end as order_haste,
    cast({{ dbt.datediff('earlier_orders.first_ordered_on', 'orders.ordered_on', 'day') }} as bigint) as ordering_for_days,
    cast(earlier_orders.ordered_eur as double) / earlier_orders.orders_before as usual_order_eur,
    earlier_orders.largest_order_eur,
    case when orders.placed_eur > 0 and earlier_orders.ordered_eur > 0
        -- Rounded: engines disagree on the last bit of a logarithm.
        then round(ln(cast(orders.placed_eur as double) * earlier_orders.orders_before / cast(earlier_orders.ordered_eur as double)), 9) end as order_against_usual,
    -- One item says little of how large an order is meant, and one earlier order little of what is usual: both are drawn to nothing.
    case when orders.placed_items > 0 and earlier_orders.placed_items > 0 then round(
        (
            cast(orders.placed_magnitude as double)
            - orders.placed_items * cast(earlier_orders.placed_magnitude as double) / earlier_orders.placed_items
        ) / (orders.placed_items + 1.4e0) * earlier_orders.orders_before / (earlier_orders.orders_before + 1), 9) end as items_against_usual,
    coalesce(earlier_invoices.settled, 0) as invoices_settled,
    coalesce(earlier_invoices.settled_overdue, 0) as invoices_settled_overdue,
    coalesce(earlier_invoices.late, 0) as invoices_late,
    coalesce(earlier_invoices.late_and_open, 0) as invoices_late_and_open,
    case when earlier_invoices.settled > 0 then cast(earlier_invoices.days_late_settled as double) / earlier_invoices.settled end as mean_days_late,
    -- Of few invoices little can be said: both are drawn to what is usual, by as much as three and six invoices say.
    cast(coalesce(earlier_invoices.days_late_in_time, 0) + 3 as double) / (coalesce(earlier_invoices.settled_in_time, 0) + 3) as usual_days_late,
    (coalesce(earlier_invoices.late, 0) + 0.42e0) / (coalesce(earlier_invoices.decided, 0) + 6) as late_share,
    coalesce(earlier_invoices.slow, 0) as invoices_slow_and_open,
    coalesce(earlier_invoices.open_eur, 0) as open_eur,
    coalesce(earlier_invoices.overdue_eur, 0) as overdue_eur,
    rating.score as rating_score,
    rating.grade as rating_grade,
    cast({{ dbt.datediff('rating.rated_on', 'orders.ordered_on', 'day') }} as bigint) as rating_age_days,
    rating_before.score as rating_score_before,
    ratings.mean_score as mean_rating_score,
    owners.worst_owner_score,
    coalesce(owners.owners_in_distress, 0) as owners_in_distress,
    month_before.output_index as industry_output,
    month_before.insolvencies_per_10000 as industry_insolvencies,
    half_year_before.output_index as industry_output_before,
    coalesce(earlier_cases.cases_180d, 0) as cases_180d,
    coalesce(earlier_cases.escalated_180d, 0) as escalated_180d,
    coalesce(earlier_cases.open_cases, 0) as open_cases,
    -- A firm of size 1 brings cases worth 13 points a year, larger ones more of them. Few days say little: drawn to it by 5 points.
    case when firm.account_since < orders.ordered_on then round(
        ln(
            (coalesce(earlier_cases.severity, 0) + 5)
            / (5 + 0.0355e0 * power(coalesce(rating.firm_size, 1e0), 0.4e0) * coalesce(paced.ordering_for_days, 0))
        ), 9) end as cases_against_usual,
    (
        orders._synthetic or coalesce(firm._synthetic, false) or coalesce(earlier_orders._synthetic, false)
        or coalesce(earlier_invoices._synthetic, false) or coalesce(rating._synthetic, false) or coalesce(rating_before._synthetic, false)
        or coalesce(ratings._synthetic, false)
        or coalesce(owners._synthetic, false) or coalesce(month_before._synthetic, false) or coalesce(half_year_before._synthetic, false)
        or coalesce(earlier_cases._synthetic, false)
    ) as _synthetic
from orders
left join {{ ref('dim_firm') }} as firm
    on orders.firm_id = firm.firm_id
left join earlier_orders
    on orders.order_id = earlier_orders.order_id
left join paced
    on orders.order_id = paced.order_id
left join haste
    on orders.order_id = haste.order_id
left join earlier_invoices
    on orders.order_id = earlier_invoices.order_id
left join rated as rating
    on orders.order_id = rating.order_id and rating.age = 1
left join rated as rating_before
    on orders.order_id = rating_before.order_id and rating_before.age = 2
left join ratings
    on orders.order_id = ratings.order_id
left join owners
    on orders.order_id = owners.order_id
left join {{ ref('stg_bureau__industry_index') }} as month_before
    on firm.first_industry = month_before.industry
    and month_before.month = cast({{ dbt.dateadd('month', -1, dbt.date_trunc('month', 'orders.ordered_on')) }} as date)
left join {{ ref('stg_bureau__industry_index') }} as half_year_before
    on firm.first_industry = half_year_before.industry
    and half_year_before.month = cast({{ dbt.dateadd('month', -7, dbt.date_trunc('month', 'orders.ordered_on')) }} as date)
left join earlier_cases
    on orders.order_id = earlier_cases.order_id
