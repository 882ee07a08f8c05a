{#- A table as DuckDB makes it here: in a database of its own, in which nothing stands yet. dbt-duckdb's way looks for what to put
    aside, makes the table under another name and renames it: most of the statements of a small model. -#}
{% materialization table, adapter='duckdb', supported_languages=['sql', 'python'] %}
    {%- set table = this.incorporate(type='table') -%}
    {{ run_hooks(pre_hooks, inside_transaction=true) }}
    {%- call statement('main', language=model['language']) -%}
        {{ create_table_as(false, table, compiled_code, model['language']) }}
    {%- endcall -%}
    {{ run_hooks(post_hooks, inside_transaction=true) }}
    {{ adapter.commit() }}
    {{ return({'relations': [table]}) }}
{% endmaterialization %}
