{#- People, and the firm they work for. -#}
{%- set touched %}
    select contact_id from {{ changed('stg_crm__contact') }}
    union all
    select contact.contact_id
    from {{ ref('stg_crm__contact') }} as contact
    inner join {{ changed('int_firm_member') }} as member on member.source = 'crm' and contact.account_id = member.record_id
{%- endset %}

select
    contact.contact_id,
    member.firm_id,
    contact.account_id,
    contact.name,
    contact.title,
    contact.department,
    contact.email,
    contact.phone,
    contact.created_at,
    (contact._synthetic or coalesce(member._synthetic, false)) as _synthetic
from {{ ref('stg_crm__contact') }} as contact
left join {{ ref('int_firm_member') }} as member
    on member.source = 'crm' and contact.account_id = member.record_id
where {{ touched_alone(['contact.contact_id'], touched) }}
