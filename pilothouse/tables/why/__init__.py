"""Why a row says what it says: provenance computed from the model's own text at the versions it read, never stored.

annotate   a query that carries, beside every value, the source cells it depends on
texts      the models' texts, as dbt compiles them, for a few rows that are asked for
explain    from a row of a table down to raw rows, model by model
"""
