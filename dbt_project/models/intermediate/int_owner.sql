{{ config(materialized="table") }}
{#- Who stands above a firm: its owners, their owners, and theirs; and since when, where that is known. -#}
with direct as (
    select owned_firm_id as firm_id, owner_firm_id, since, _synthetic
    from {{ ref('fct_ownership') }}
),

first as (
    select * from direct
    where {{ asked_for('firm_id', 'firm_id') }}
),

second as (
    select
        first.firm_id,
        above.owner_firm_id,
        {{ later('first.since', 'above.since') }} as since,
        (first._synthetic or above._synthetic) as _synthetic
    from first
    inner join direct as above on first.owner_firm_id = above.firm_id
),

third as (
    select
        second.firm_id,
        above.owner_firm_id,
        {{ later('second.since', 'above.since') }} as since,
        (second._synthetic or above._synthetic) as _synthetic
    from second
    inner join direct as above on second.owner_firm_id = above.firm_id
)

select firm_id, owner_firm_id, min(since) as since, {{ any_synthetic('_synthetic') }} as _synthetic
from (
    select * from first
    union all
    select * from second
    union all
    select * from third
) as every_level
where firm_id <> owner_firm_id
group by firm_id, owner_firm_id
