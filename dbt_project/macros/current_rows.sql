{#- The rows of a raw table that hold now: of each row its newest version, unless that is a deletion. `key` names the model's key
    columns by those of the source. -#}
{% macro current_rows(source_name, table, key) -%}
(
    select *
    from (
        select
            *,
            row_number() over (partition by _row_id order by _seen_at desc, _changed_at desc nulls last) as _age
        from {{ source(source_name, table) }}
        {%- if is_incremental_build() %}
        {%- set names = [] %}
        {%- for ours, theirs in key.items() %}{% do names.append(theirs ~ ' as ' ~ ours) %}{% endfor %}
        {%- set input = changed(source_name ~ '/' ~ table) %}
        {%- do touch('select ' ~ names | join(', ') ~ ' from ' ~ input) %}
        where _row_id in (select _row_id from {{ input }})
        {%- endif %}
    ) as versions
    where _age = 1 and _change <> 'delete'
)
{%- endmacro %}
