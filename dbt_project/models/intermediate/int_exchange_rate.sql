{{ config(materialized="table") }}
{#- A rate for every day: banks publish none on weekends and holidays, when the last one goes on to hold, for a week at most. -#}
{%- set day = 'cast(' ~ dbt.dateadd('day', 'days_after.days', 'rate.rated_on') ~ ' as date)' -%}

{%- set days_after %}
    select 0 as days union all select 1 union all select 2 union all select 3 union all select 4 union all select 5 union all select 6
{%- endset %}
{%- set touched %}
    select rate.currency, {{ day }} as day
    from {{ changed('stg_bureau__exchange_rate') }} as rate
    cross join ({{ days_after }}) as days_after
{%- endset %}

with days_after as (
    {{ days_after }}
),

held as (
    select
        rate.currency,
        {{ day }} as day,
        rate.per_eur,
        row_number() over (partition by rate.currency, {{ day }} order by rate.rated_on desc) as age,
        rate._synthetic
    from {{ ref('stg_bureau__exchange_rate') }} as rate
    cross join days_after
    where {{ touched_alone(['rate.currency', day], touched) }}
)

select currency, day, per_eur, _synthetic
from held
where age = 1
