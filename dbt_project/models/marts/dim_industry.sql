{#- Industries, with the newest month that the bureau tells of. -#}
select
    industry as industry_id,
    industry_name as name,
    month,
    output_index,
    insolvencies_per_10000,
    _synthetic
from {{ first_of(ref('stg_bureau__industry_index'), 'industry', 'month desc', where=asked_for('industry', 'industry_id')) }} as newest
