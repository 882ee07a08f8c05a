{#- Every record that stands for a firm, in whatever system, under the same columns: what firms are resolved from. -#}
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
left join {{ first_of(ref('stg_s4__address'), 'partner_id', 'address_id') }} as address
    on partner.partner_id = address.partner_id
left join {{ first_of(ref('stg_s4__tax_number'), 'partner_id', 'tax_type') }} as tax
    on partner.partner_id = tax.partner_id
where partner.category = '2'

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
    cast(null as date) as known_since,
    _synthetic
from {{ first_of(ref('stg_bureau__rating'), 'bureau_id', 'rating_id desc') }} as newest
