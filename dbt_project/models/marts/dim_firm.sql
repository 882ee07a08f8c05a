{#- One row a firm, of all records that stand for it. -#}
{%- set touched %}
    select firm_id from {{ changed('int_firm_member') }}
    union all
    select member.firm_id
    from {{ ref('int_firm_member') }} as member
    inner join {{ changed('int_party') }} as party on member.source = party.source and member.record_id = party.record_id
    union all
    select member.firm_id
    from {{ ref('int_firm_member') }} as member
    inner join {{ changed('stg_bureau__rating') }} as rating on member.source = 'bureau' and member.record_id = rating.bureau_id
{%- endset %}

with members as (
    select member.firm_id, member.source, member.record_id, member._synthetic, party.name, party.street, party.postal_code, party.city,
        party.country, party.tax_number, party.industry, party.first_country, party.first_industry, party.website, party.phone, party.known_since,
        row_number() over (
            partition by member.firm_id
            order by case member.source when 's4' then 1 when 'crm' then 2 else 3 end, member.record_id
        ) as place
    from {{ ref('int_firm_member') }} as member
    inner join {{ ref('int_party') }} as party
        on member.source = party.source and member.record_id = party.record_id
    where {{ touched_alone(['member.firm_id'], touched) }}
),

counted as (
    select
        firm_id,
        cast(sum(case when source = 's4' then 1 else 0 end) as bigint) as partners,
        cast(sum(case when source = 'crm' then 1 else 0 end) as bigint) as accounts,
        max(case when source = 'bureau' then record_id end) as bureau_id,
        min(case when source = 's4' then known_since end) as customer_since,
        min(case when source = 'crm' then known_since end) as account_since,
        max(website) as website,
        max(phone) as phone,
        {{ any_synthetic('_synthetic') }} as _synthetic
    from members
    group by firm_id
),

newest_rating as (
    select *
    from {{ first_of(ref('stg_bureau__rating'), 'bureau_id', 'rated_on desc, rating_id desc', where=asked_for('bureau_id', 'bureau_id')) }} as newest
)

select
    counted.firm_id,
    named.name,
    named.street,
    named.postal_code,
    named.city,
    named.country,
    named.tax_number,
    named.industry,
    named.first_country,
    named.first_industry,
    counted.website,
    counted.phone,
    counted.bureau_id,
    counted.partners,
    counted.accounts,
    (counted.partners > 0) as is_customer,
    counted.customer_since,
    counted.account_since,
    rating.grade as rating_grade,
    rating.score as rating_score,
    rating.credit_limit_eur,
    rating.rated_on,
    (counted._synthetic or coalesce(rating._synthetic, false)) as _synthetic
from counted
inner join members as named
    on counted.firm_id = named.firm_id and named.place = 1
left join newest_rating as rating
    on counted.bureau_id = rating.bureau_id
