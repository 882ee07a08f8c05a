{#- The rows of a raw table that hold now: of each row its newest version, unless that is a deletion. `key` names the model's key
    columns by those of the source. Of the columns in `first`, `_first_<column>` is what they said when the row was first seen: what
    features of a past moment may use of something that is changed in place. -#}
{% macro current_rows(source_name, table, key, first=[]) -%}
(
    select *
    from (
        select
            *,
            {%- for column in first %}
            first_value({{ column }}) over (partition by _row_id order by _seen_at, _changed_at nulls first) as _first_{{ column }},
            {%- endfor %}
            row_number() over (partition by _row_id order by _seen_at desc, _changed_at desc nulls last) as _age
        from {{ source(source_name, table) }}
        {%- if is_incremental_build() %}
        {%- set names = [] %}
        {%- for ours, theirs in key.items() %}{% do names.append(theirs ~ ' as ' ~ ours) %}{% endfor %}
        {%- set input = changed(source_name ~ '__' ~ table) %}
        {%- do touch('select ' ~ names | join(', ') ~ ' from ' ~ input) %}
        where _row_id in (select _row_id from {{ input }})
        {%- elif is_asked() %}
        {%- set names = [] %}
        {%- for ours, theirs in key.items() %}{% do names.append(theirs ~ ' as ' ~ ours) %}{% endfor %}
        where ({{ key.values() | join(', ') }}) in (select {{ key.keys() | join(', ') }} from {{ asked() }})
        {{ forward('select ' ~ names | join(', ') ~ ' from ' ~ changed(source_name ~ '__' ~ table)) }}
        {%- endif %}
    ) as versions
    where _age = 1 and _change <> 'delete'
)
{%- endmacro %}
