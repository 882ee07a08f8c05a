{#- People, and the firm they work for. -#}
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
where {{ asked_for('contact.contact_id', 'contact_id') }}
