{#- DuckDB makes a wave in a database of its own, in memory. So there is no older table to be kept until the new one is there, and none
    of what dbt does about that: three looks at the catalog, two drops and a rename for each model. -#}

{% materialization table, adapter="duckdb", supported_languages=["sql", "python"] %}
    {%- set relation = this.incorporate(type="table") -%}
    {{ run_hooks(pre_hooks) }}
    {%- call statement("main", language=model["language"]) -%}
        {{- create_table_as(False, relation, compiled_code, model["language"]) -}}
    {%- endcall -%}
    {{ run_hooks(post_hooks) }}
    {{ adapter.commit() }}
    {{ return({"relations": [relation]}) }}
{% endmaterialization %}

{% materialization view, adapter="duckdb" %}
    {%- set relation = this.incorporate(type="view") -%}
    {{ run_hooks(pre_hooks) }}
    {%- call statement("main") -%}
        {{- get_create_view_as_sql(relation, sql) -}}
    {%- endcall -%}
    {{ run_hooks(post_hooks) }}
    {{ adapter.commit() }}
    {{ return({"relations": [relation]}) }}
{% endmaterialization %}
