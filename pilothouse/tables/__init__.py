"""Tables made by SQL: the dbt project's models built over the lake at named versions, and published to it.

project    what there is to build: the models as values, from dbt's own parse
dbt        dbt, inside this process
plugin     the door through which dbt-duckdb reads the lake
building   which models are out of date, in which order they are made, and how they are published
"""
