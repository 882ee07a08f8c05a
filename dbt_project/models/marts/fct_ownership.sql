{#- Which firm owns which. -#}
select
    owner.firm_id as owner_firm_id,
    owned.firm_id as owned_firm_id,
    cast(max(ownership.share_percent) as decimal(5, 2)) as share_percent,
    min(ownership.since) as since,
    {{ any_synthetic('ownership._synthetic') }} as _synthetic
from {{ ref('stg_bureau__ownership') }} as ownership
inner join {{ ref('int_firm_member') }} as owner
    on owner.source = 'bureau' and ownership.owner_id = owner.record_id
inner join {{ ref('int_firm_member') }} as owned
    on owned.source = 'bureau' and ownership.owned_id = owned.record_id
where owner.firm_id <> owned.firm_id
    and {{ asked_for('owner.firm_id', 'owner_firm_id') }} and {{ asked_for('owned.firm_id', 'owned_firm_id') }}
group by owner.firm_id, owned.firm_id
