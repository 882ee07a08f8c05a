{#-
    What a firm owes, and how long it is overdue, on each day on which either changes; it holds until the firm's next row.

    An invoice enters on its date and leaves on the day it is paid; in between it grows old on days that are known beforehand. So
    the rows ahead of the newest payment say what will be owed if nobody pays, and `as of a day` is the last row up to that day.
-#}
{%- set is_open = 'invoice.paid_on is null or invoice.paid_on > changes.day' %}
{%- set overdue = dbt.datediff('invoice.due_on', 'changes.day', 'day') %}

with invoice as (
    select firm_id, invoiced_on, due_on, paid_on, owed_eur, _synthetic
    from {{ ref('fct_invoice') }}
    where due_on is not null and owed_eur is not null and not is_cancelled
        and {{ touched_groups(['firm_id'], 'select firm_id from ' ~ changed('fct_invoice')) }}
),

step as (
    select firm_id, invoiced_on as day
    from invoice
    union all
    select firm_id, paid_on as day
    from invoice
    where paid_on > invoiced_on
    {%- for days in [1, 31, 61, 91] %}
    union all
    select firm_id, cast({{ dbt.dateadd('day', days, 'due_on') }} as date) as day
    from invoice
    where paid_on is null or {{ dbt.datediff('due_on', 'paid_on', 'day') }} > {{ days }}
    {%- endfor %}
),

changes as (
    select firm_id, day
    from step
    where {{ asked_for('day', 'day') }}
    group by firm_id, day
)

select
    changes.firm_id,
    changes.day,
    cast(sum(case when {{ is_open }} then invoice.owed_eur else 0 end) as decimal(18, 2)) as open_eur,
    cast(sum(case when ({{ is_open }}) and {{ overdue }} <= 0 then invoice.owed_eur else 0 end) as decimal(18, 2)) as not_due_eur,
    {%- for first, last in [(1, 30), (31, 60), (61, 90)] %}
    cast(
        sum(case when ({{ is_open }}) and {{ overdue }} between {{ first }} and {{ last }} then invoice.owed_eur else 0 end) as decimal(18, 2)
    ) as overdue_{{ first }}_{{ last }}_eur,
    {%- endfor %}
    cast(sum(case when ({{ is_open }}) and {{ overdue }} > 90 then invoice.owed_eur else 0 end) as decimal(18, 2)) as overdue_over_90_eur,
    {{ any_synthetic('invoice._synthetic') }} as _synthetic
from changes
inner join invoice
    on changes.firm_id = invoice.firm_id and invoice.invoiced_on <= changes.day
group by changes.firm_id, changes.day
