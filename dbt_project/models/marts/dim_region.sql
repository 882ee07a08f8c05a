{#- Countries in which firms are. -#}
select
    country as region_id,
    cast(
        case country
            {%- for code, name in country_names().items() %}
            when '{{ code }}' then '{{ name }}'
            {%- endfor %}
            else country
        end as {{ dbt.type_string() }}
    ) as name,
    {{ any_synthetic('_synthetic') }} as _synthetic
from {{ ref('dim_firm') }}
where country is not null and {{ asked_for('country', 'region_id') }}
group by country
