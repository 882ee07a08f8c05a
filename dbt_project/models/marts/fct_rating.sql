{#- What the bureau thought of each firm, and since when. -#}
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
where {{ asked_for('rating.rating_id', 'rating_id') }}
