{#-
    What a record's firm was told by, for `pilothouse why`: the record itself, each link on the way to the record that names the firm,
    what people said of two of those records, and how long that one is known. Python made the table, so this says what SQL elsewhere
    says by itself.
-#}
{%- set touched %}
    select member.source, member.record_id
    from before.int_firm_member as member
    inner join (
        select source || ':' || record_id as id from changes."int_firm_member__int_party"
        union all
        select left_id as id from changes."int_firm_member__int_firm_link"
        union all
        select left_record as id from changes."int_firm_member__stg_pilothouse__firm_correction"
    ) as changed
        on strpos(' ' || member.through || ' ', ' ' || changed.id || ' ') > 0
{%- endset %}
{{ forward(touched) }}
{%- set way = "' ' || member.through || ' '" -%}
{#- The records on any of the ways: by them the others are not even read. -#}
{%- set on_the_way = "select unnest(string_split(concat_ws(' ', source || ':' || record_id, through, firm_id), ' ')) as id from asked.int_firm_member" -%}

with member as (
    select *, source || ':' || record_id as id
    from asked.int_firm_member
),

party as (
    select *, source || ':' || record_id as id
    from {{ ref('int_party') }}
    where record_id in (select substr(id, strpos(id, ':') + 1) as record_id from ({{ on_the_way }}) as step)
),

step as (
    select source || ':' || record_id as id, ' ' || through || ' ' as way, unnest(string_split(through, ' ')) as record
    from asked.int_firm_member
),

likeness as (
    select step.id, count(concat(link.weight, link.is_same)) as told
    from step
    inner join {{ ref('int_firm_link') }} as link
        on step.record = link.left_id
    where strpos(step.way, ' ' || link.left_id || ' ' || link.right_id || ' ') > 0
        or strpos(step.way, ' ' || link.right_id || ' ' || link.left_id || ' ') > 0
    group by step.id
),

said as (
    select member.id, count(correction.verdict) as told
    from member
    inner join {{ ref('stg_pilothouse__firm_correction') }} as correction
        on correction.verdict = 'same' and (
            strpos({{ way }}, ' ' || correction.left_record || ' ' || correction.right_record || ' ') > 0
            or strpos({{ way }}, ' ' || correction.right_record || ' ' || correction.left_record || ' ') > 0
        )
    group by member.id
)

select
    party.source,
    party.record_id,
    {%- for column in ['firm_id', 'evidence', 'weight', 'through'] %}
    concat(likeness.told, said.told, named_after.known_since) as {{ column }},
    {%- endfor %}
    true as _synthetic
from member
inner join party
    on member.id = party.id
left join likeness
    on member.id = likeness.id
left join said
    on member.id = said.id
left join party as named_after
    on member.firm_id = named_after.id
