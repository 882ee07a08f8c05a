{#-
    An incremental model makes only the rows that a change of its inputs can have touched, and makes them by the same text
    as all rows. Which inputs changed is known from the versions that the model was last made of (law 1), so nothing is
    guessed from clocks: `changed('stg_x')` is every row of that input, before and after, that is not the same as it was then.

    The query of `touched_alone` names the keys of the rows that may be different now. More of them cost time; one too few is a
    wrong table, which is why tests compare every incremental model with its full rebuild.
-#}

{% macro is_incremental_build() -%}
    {{ return(execute and model.name in var('incremental', [])) }}
{%- endmacro %}

{#- Whether the text is made to explain rows: then it makes nothing but the rows of this model in the schema `asked`. -#}
{% macro is_asked() -%}
    {{ return(execute and var('asked', false)) }}
{%- endmacro %}

{#- Beside the text that explains rows stands the query that goes the other way: from rows of the inputs to the keys of those that may
    be made of them. -#}
{% macro forward(query) -%}
    /* touched: {{ query }} */
{%- endmacro %}

{% macro asked() -%}
    asked.{{ adapter.quote(model.name) }}
{%- endmacro %}

{% macro changed(input) -%}
    changes.{{ adapter.quote(model.name ~ '__' ~ input) }}
{%- endmacro %}

{#- Note the keys of the rows that are made anew: those among them that come out no more are taken out of the table. -#}
{% macro touch(query) -%}
    {%- set touched = this.incorporate(path={'identifier': this.identifier ~ '__touched'}) -%}
    {%- set key = model.config.meta.key | join(', ') -%}
    {%- do run_query('drop table if exists ' ~ touched) -%}
    {%- do run_query('create table ' ~ touched ~ ' as select distinct ' ~ key ~ ' from (' ~ query ~ ') as touched') -%}
    {{ return('select ' ~ key ~ ' from ' ~ touched) }}
{%- endmacro %}

{% macro touched_alone(columns, query) -%}
    {%- if is_incremental_build() -%}
        ({{ columns | join(', ') }}) in ({{ touch(query) }})
    {%- elif is_asked() -%}
        ({{ columns | join(', ') }}) in (select {{ model.config.meta.key | join(', ') }} from {{ asked() }}) {{ forward(query) }}
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{#- The same where a change touches whole groups of rows, such as all of a firm: the query names groups instead of keys. Where a row
    of the group can be made without the others, `asked_by` names it. -#}
{% macro touched_groups(columns, query, asked_by=none) -%}
    {%- set asked_by = asked_by or columns -%}
    {%- if is_incremental_build() -%}
        {%- set group = '(' ~ columns | join(', ') ~ ')' -%}
        {%- do touch('select * from before.' ~ adapter.quote(model.name) ~ ' where ' ~ group ~ ' in (' ~ query ~ ')') -%}
        {{ group }} in ({{ query }})
    {%- elif is_asked() -%}
        {%- set group = '(' ~ columns | join(', ') ~ ')' %}
        ({{ asked_by | join(', ') }}) in (select {{ asked_by | join(', ') }} from {{ asked() }})
        {{ forward('select * from before.' ~ adapter.quote(model.name) ~ ' where ' ~ group ~ ' in (' ~ query ~ ')') }}
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{#- Leave out of a part what the rows that are made, in this common table expression, do not need. Where all are made, nothing is left out. -#}
{% macro needed_by(rows, column) -%}
    {%- if is_incremental_build() -%}
        {{ column }} in (select {{ column.split('.')[-1] }} from {{ rows }})
    {%- elif is_asked() -%}
        {{ column }} in (select {{ column.split('.')[-1] }} from {{ asked() }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}

{#- Leave out of a part what no row that is asked for needs, by the column of this model's key that it has to be. -#}
{% macro asked_for(column, key) -%}
    {%- if is_asked() -%} {{ column }} in (select {{ key }} from {{ asked() }}) {%- else -%} true {%- endif -%}
{%- endmacro %}

{#- After a model made its touched rows alone: put the others beside them, so that whoever reads it here, tests among them, sees all. -#}
{% macro completed() -%}
    {%- if is_incremental_build() -%}
        {%- set made = this.incorporate(path={'identifier': this.identifier ~ '__made'}, type='table') -%}
        {%- set touched = this.incorporate(path={'identifier': this.identifier ~ '__touched'}) -%}
        {%- set same = [] -%}
        {%- for column in model.config.meta.key %}{% do same.append('touched.' ~ column ~ ' = was.' ~ column) %}{% endfor -%}
        {%- do adapter.rename_relation(this.incorporate(type='table'), made) -%}
        {%- do run_query(
            'create view ' ~ this ~ ' as select * from before.' ~ adapter.quote(model.name) ~ ' as was where not exists (select 1 from '
            ~ touched ~ ' as touched where ' ~ same | join(' and ') ~ ') union all select * from ' ~ made
        ) -%}
    {%- endif -%}
{%- endmacro %}
