{#- SAP says nothing with an empty text. -#}
{% macro said(column) -%}
    nullif({{ column }}, '')
{%- endmacro %}

{#- A row is synthetic if any row that it is made of is (law 8). -#}
{% macro any_synthetic(column) -%}
    (max(case when {{ column }} then 1 else 0 end) = 1)
{%- endmacro %}

{#- An amount of another currency in euros, to the cent. Both sides are doubles before they are divided: engines disagree on
    the places of a quotient of decimals, never on IEEE. -#}
{% macro in_euros(amount, currency, per_eur) -%}
    cast(
        case
            when {{ currency }} = 'EUR' then cast({{ amount }} as double)
            else round(cast({{ amount }} as double) / cast({{ per_eur }} as double), 2)
        end as decimal(18, 2)
    )
{%- endmacro %}

{#- Letters and digits alone, in capitals: how numbers that people type are compared. -#}
{% macro alphanumeric(column) -%}
    {{ return(adapter.dispatch('alphanumeric')(column)) }}
{%- endmacro %}

{% macro default__alphanumeric(column) -%}
    upper(regexp_replace({{ column }}, '[^A-Za-z0-9]', ''))
{%- endmacro %}

{% macro duckdb__alphanumeric(column) -%}
    upper(regexp_replace({{ column }}, '[^A-Za-z0-9]', '', 'g'))
{%- endmacro %}

{#- A country as ISO has it, of a text that people type: a code or an English name. What is neither stays unknown. -#}
{% macro country_code(column) -%}
    case
        when length({{ column }}) = 2 then upper({{ column }})
        {%- for name, code in {
            'Austria': 'AT', 'Belgium': 'BE', 'Czech Republic': 'CZ', 'Czechia': 'CZ', 'Denmark': 'DK', 'Finland': 'FI', 'France': 'FR',
            'Germany': 'DE', 'Great Britain': 'GB', 'Hungary': 'HU', 'Ireland': 'IE', 'Italy': 'IT', 'Luxembourg': 'LU',
            'Netherlands': 'NL', 'Norway': 'NO', 'Poland': 'PL', 'Portugal': 'PT', 'Slovakia': 'SK', 'Spain': 'ES', 'Sweden': 'SE',
            'Switzerland': 'CH', 'United Kingdom': 'GB', 'United States': 'US', 'United States of America': 'US'
        }.items() %}
        when lower({{ column }}) = '{{ name | lower }}' then '{{ code }}'
        {%- endfor %}
    end
{%- endmacro %}

{#- The first row of each group. -#}
{% macro first_of(relation, group, order, where='true') -%}
    (
        select *
        from (
            select *, row_number() over (partition by {{ group }} order by {{ order }}) as _place
            from {{ relation }}
            where {{ where }}
        ) as placed
        where _place = 1
    )
{%- endmacro %}

{% macro street_and_number(street, number) -%}
    case when {{ number }} is null then {{ street }} else {{ street }} || ' ' || {{ number }} end
{%- endmacro %}

{#- The code that SAP and the bureau give an industry, of Salesforce's words. -#}
{% macro industry_code(column) -%}
    case {{ column }}
        {%- for words, code in {
            'Automotive': 'AUTO', 'Chemicals': 'CHEM', 'Construction': 'CONS', 'Electronics': 'ELEC', 'Energy': 'ENER',
            'Food & Beverage': 'FOOD', 'Healthcare': 'HLTH', 'Machinery': 'MACH', 'Retail': 'RETL', 'Transportation': 'TRAN'
        }.items() %}
        when '{{ words }}' then '{{ code }}'
        {%- endfor %}
    end
{%- endmacro %}

{#- Days until payment, of terms such as NT30. -#}
{% macro payment_days(terms) -%}
    cast(case when substr({{ terms }}, 1, 2) = 'NT' then substr({{ terms }}, 3) end as bigint)
{%- endmacro %}

{#- The later of two days, of which one may be unknown. -#}
{% macro later(one, other) -%}
    case when {{ other }} is null or {{ one }} > {{ other }} then {{ one }} else {{ other }} end
{%- endmacro %}

{#- What a country is called, by its ISO code. -#}
{% macro country_names() -%}
    {{ return({
        'AT': 'Austria', 'BE': 'Belgium', 'CH': 'Switzerland', 'CZ': 'Czechia', 'DE': 'Germany', 'DK': 'Denmark', 'ES': 'Spain',
        'FI': 'Finland', 'FR': 'France', 'GB': 'United Kingdom', 'HU': 'Hungary', 'IE': 'Ireland', 'IT': 'Italy', 'LU': 'Luxembourg',
        'NL': 'Netherlands', 'NO': 'Norway', 'PL': 'Poland', 'PT': 'Portugal', 'SE': 'Sweden', 'SK': 'Slovakia', 'US': 'United States'
    }) }}
{%- endmacro %}
