{#- What a link was told by, for `pilothouse why`: everything that is compared of its two records, and the weights. -#}
{%- set touched %}
    select left_id, right_id
    from before.int_firm_link
    where left_id in (select source || ':' || record_id from changes."int_firm_link__int_party")
        or right_id in (select source || ':' || record_id from changes."int_firm_link__int_party")
{%- endset %}
{{ forward(touched) }}
{%- set compared = ['name', 'street', 'postal_code', 'city', 'country', 'tax_number', 'website', 'industry'] -%}

{#- Of all parties only those that are asked for: by a column of the table itself, so that the others are not even read. -#}
with party as (
    select *, source || ':' || record_id as id
    from {{ ref('int_party') }}
    where record_id in (
        select substr(left_id, strpos(left_id, ':') + 1) as record_id from asked.int_firm_link
        union all
        select substr(right_id, strpos(right_id, ':') + 1) as record_id from asked.int_firm_link
    )
)

select
    left_party.id as left_id,
    right_party.id as right_id,
    {%- for column in ['probability', 'weight', 'is_same', 'evidence', 'weights_version'] %}
    concat(
        weights.version
        {%- for name in compared %}, left_party.{{ name }}, right_party.{{ name }}{% endfor -%}
    ) as {{ column }},
    {%- endfor %}
    true as _synthetic
from asked.int_firm_link as asked_link
inner join party as left_party
    on asked_link.left_id = left_party.id
inner join party as right_party
    on asked_link.right_id = right_party.id
cross join {{ ref('int_firm_weights') }} as weights
