{{ config(materialized="table") }}
{#- Every record that stands for a firm, in whatever system, under the same columns: what firms are resolved from. -#}
{%- set touched %}
    select 's4' as source, partner_id as record_id from {{ changed('stg_s4__business_partner') }}
    union all
    select 's4' as source, partner_id as record_id from {{ changed('stg_s4__address') }}
    union all
    select 's4' as source, partner_id as record_id from {{ changed('stg_s4__tax_number') }}
    union all
    select 'crm' as source, account_id as record_id from {{ changed('stg_crm__account') }}
    union all
    select 'bureau' as source, bureau_id as record_id from {{ changed('stg_bureau__rating') }}
{%- endset %}
{%- set ratings %}
    (
        select *, first_value(rated_on) over (partition by bureau_id order by rated_on, rating_id) as known_since
        from {{ ref('stg_bureau__rating') }}
        where {{ asked_for('bureau_id', 'record_id') }}
    ) as rating
{%- endset %}

with party as (
    select
        's4' as source,
        partner.partner_id as record_id,
        partner.name,
        cast({{ street_and_number('address.street', 'address.house_number') }} as {{ dbt.type_string() }}) as street,
        address.postal_code,
        address.city,
        address.country,
        {{ alphanumeric('tax.tax_number') }} as tax_number,
        cast(null as {{ dbt.type_string() }}) as phone,
        cast(null as {{ dbt.type_string() }}) as website,
        partner.industry,
        address.first_country,
        partner.first_industry,
        partner.created_on as known_since,
        partner._synthetic
    from {{ ref('stg_s4__business_partner') }} as partner
    left join {{ first_of(ref('stg_s4__address'), 'partner_id', 'address_id', where=asked_for('partner_id', 'record_id')) }} as address
        on partner.partner_id = address.partner_id
    left join {{ first_of(ref('stg_s4__tax_number'), 'partner_id', 'tax_type', where=asked_for('partner_id', 'record_id')) }} as tax
        on partner.partner_id = tax.partner_id
    where partner.category = '2' and {{ asked_for('partner.partner_id', 'record_id') }}

    union all

    select
        'crm' as source,
        account_id as record_id,
        name,
        street,
        postal_code,
        city,
        country,
        {{ alphanumeric('tax_number') }} as tax_number,
        phone,
        website,
        {{ industry_code('industry_name') }} as industry,
        country as first_country,
        {{ industry_code('industry_name') }} as first_industry,
        cast(created_at as date) as known_since,
        _synthetic
    from {{ ref('stg_crm__account') }}
    where {{ asked_for('account_id', 'record_id') }}

    union all

    select
        'bureau' as source,
        bureau_id as record_id,
        name,
        street,
        postal_code,
        city,
        country,
        {{ alphanumeric('tax_number') }} as tax_number,
        cast(null as {{ dbt.type_string() }}) as phone,
        cast(null as {{ dbt.type_string() }}) as website,
        industry,
        country as first_country,
        industry as first_industry,
        known_since,
        _synthetic
    from {{ first_of(ratings, 'bureau_id', 'rating_id desc') }} as newest
)

select *
from party
where {{ touched_alone(['source', 'record_id'], touched) }}
