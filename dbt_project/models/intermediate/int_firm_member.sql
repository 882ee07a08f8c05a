{{ config(materialized="table") }}
{#-
    Which firm each record stands for. Records with one tax number are one firm, which is named after the first of them: SAP before
    Salesforce before the bureau. A record without a tax number is a firm of its own.
-#}
with ranked as (
    select
        *,
        case source when 's4' then 1 when 'crm' then 2 else 3 end as place,
        coalesce(nullif(tax_number, ''), source || ':' || record_id) as evidence
    from {{ ref('int_party') }}
),

placed as (
    select
        *,
        row_number() over (partition by evidence order by place, record_id) as rank_in_firm
    from ranked
)

select
    member.source,
    member.record_id,
    first_record.source || ':' || first_record.record_id as firm_id,
    case when member.tax_number is null or member.tax_number = '' then 'alone' else 'tax number' end as evidence,
    (member._synthetic or first_record._synthetic) as _synthetic
from placed as member
inner join placed as first_record
    on member.evidence = first_record.evidence and first_record.rank_in_firm = 1
