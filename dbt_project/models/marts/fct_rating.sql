{#- What the bureau thought of each firm, and since when. -#}
{%- set touched %}
    select rating_id from {{ changed('stg_bureau__rating') }}
    union all
    select rating.rating_id
    from {{ ref('stg_bureau__rating') }} as rating
    inner join {{ changed('int_firm_member') }} as member on member.source = 'bureau' and rating.bureau_id = member.record_id
{%- endset %}

select
    rating.rating_id,
    member.firm_id,
    rating.bureau_id,
    rating.rated_on,
    rating.grade,
    rating.score,
    rating.credit_limit_eur,
    (rating._synthetic or member._synthetic) as _synthetic
from {{ ref('stg_bureau__rating') }} as rating
inner join {{ ref('int_firm_member') }} as member
    on member.source = 'bureau' and rating.bureau_id = member.record_id
where {{ touched_alone(['rating.rating_id'], touched) }}
