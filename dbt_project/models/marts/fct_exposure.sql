{#-
    What a firm owes, and how long it is overdue, after each day on which either changed; it holds until the firm's next row.

    An invoice enters on its date and leaves on the day it is paid; in between it grows old on days that are known beforehand. So
    the rows ahead of the newest payment say what will be owed if nobody pays, and `as of a day` is the last row up to that day.
-#}
{%- set held = 'over (partition by firm_id order by day rows between unbounded preceding and current row)' %}
with invoice as (
    select * from {{ ref('fct_invoice') }}
    where due_on is not null and owed_eur is not null and not is_cancelled
        and {{ touched_groups(['firm_id'], 'select firm_id from ' ~ changed('fct_invoice')) }}
),

-- Each invoice's steps: from which day on it moves which amount between the buckets.
step as (
    select firm_id, invoiced_on as day, owed_eur as not_due, 0 as late_1, 0 as late_31, 0 as late_61, 0 as late_91, _synthetic
    from invoice
    union all
    select firm_id, cast({{ dbt.dateadd('day', 1, 'due_on') }} as date), -owed_eur, owed_eur, 0, 0, 0, _synthetic
    from invoice
    where paid_on is null or paid_on > due_on
    union all
    select firm_id, cast({{ dbt.dateadd('day', 31, 'due_on') }} as date), 0, -owed_eur, owed_eur, 0, 0, _synthetic
    from invoice
    where paid_on is null or {{ dbt.datediff('due_on', 'paid_on', 'day') }} >= 31
    union all
    select firm_id, cast({{ dbt.dateadd('day', 61, 'due_on') }} as date), 0, 0, -owed_eur, owed_eur, 0, _synthetic
    from invoice
    where paid_on is null or {{ dbt.datediff('due_on', 'paid_on', 'day') }} >= 61
    union all
    select firm_id, cast({{ dbt.dateadd('day', 91, 'due_on') }} as date), 0, 0, 0, -owed_eur, owed_eur, _synthetic
    from invoice
    where paid_on is null or {{ dbt.datediff('due_on', 'paid_on', 'day') }} >= 91
    union all
    select
        firm_id,
        paid_on,
        case when days_late <= 0 then -owed_eur else 0 end,
        case when days_late between 1 and 30 then -owed_eur else 0 end,
        case when days_late between 31 and 60 then -owed_eur else 0 end,
        case when days_late between 61 and 90 then -owed_eur else 0 end,
        case when days_late > 90 then -owed_eur else 0 end,
        _synthetic
    from invoice
    where paid_on is not null
),

moved as (
    select
        firm_id,
        day,
        sum(not_due) as not_due,
        sum(late_1) as late_1,
        sum(late_31) as late_31,
        sum(late_61) as late_61,
        sum(late_91) as late_91,
        {{ any_synthetic('_synthetic') }} as _synthetic
    from step
    group by firm_id, day
)

select
    firm_id,
    day,
    cast(sum(not_due + late_1 + late_31 + late_61 + late_91) {{ held }} as decimal(18, 2)) as open_eur,
    cast(sum(not_due) {{ held }} as decimal(18, 2)) as not_due_eur,
    cast(sum(late_1) {{ held }} as decimal(18, 2)) as overdue_1_30_eur,
    cast(sum(late_31) {{ held }} as decimal(18, 2)) as overdue_31_60_eur,
    cast(sum(late_61) {{ held }} as decimal(18, 2)) as overdue_61_90_eur,
    cast(sum(late_91) {{ held }} as decimal(18, 2)) as overdue_over_90_eur,
    (max(case when _synthetic then 1 else 0 end) {{ held }} = 1) as _synthetic
from moved
