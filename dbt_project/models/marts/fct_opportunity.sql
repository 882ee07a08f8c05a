{%- set touched %}
    select opportunity_id from {{ changed('stg_crm__opportunity') }}
    union all
    select deal.opportunity_id
    from {{ ref('stg_crm__opportunity') }} as deal
    inner join {{ changed('int_firm_member') }} as member on member.source = 'crm' and deal.account_id = member.record_id
{%- endset %}

select
    deal.opportunity_id,
    member.firm_id,
    deal.account_id,
    deal.name,
    deal.stage,
    deal.amount,
    deal.probability,
    deal.closes_on,
    deal.opportunity_type,
    deal.lead_source,
    deal.is_closed,
    deal.is_won,
    deal.created_at,
    (deal._synthetic or coalesce(member._synthetic, false)) as _synthetic
from {{ ref('stg_crm__opportunity') }} as deal
left join {{ ref('int_firm_member') }} as member
    on member.source = 'crm' and deal.account_id = member.record_id
where {{ touched_alone(['deal.opportunity_id'], touched) }}
