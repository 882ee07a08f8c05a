{%- set touched %}
    select case_id from {{ changed('stg_crm__case') }}
    union all
    select reported.case_id
    from {{ ref('stg_crm__case') }} as reported
    inner join {{ changed('int_firm_member') }} as member on member.source = 'crm' and reported.account_id = member.record_id
{%- endset %}

select
    reported.case_id,
    reported.case_number,
    member.firm_id,
    reported.account_id,
    reported.contact_id,
    reported.subject,
    reported.case_type,
    reported.reason,
    reported.status,
    reported.priority,
    reported.is_escalated,
    reported.is_closed,
    reported.opened_at,
    reported.closed_at,
    reported.changed_at,
    (reported._synthetic or coalesce(member._synthetic, false)) as _synthetic
from {{ ref('stg_crm__case') }} as reported
left join {{ ref('int_firm_member') }} as member
    on member.source = 'crm' and reported.account_id = member.record_id
where {{ touched_alone(['reported.case_id'], touched) }}
