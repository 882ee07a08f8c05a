"""Why a row says what it says: provenance computed from the model's own text at the versions it read, never stored.

annotate, expressions   a query that carries beside every row the trace of how it came about
recipes, needed         what a value depends on, as its row's trace tells it
texts                   the models' texts, as dbt compiles them, for a few rows that are asked for
reading                 the lake's tables at versions, as these texts read them
explain, walk, row      from a row of a table down to raw rows, model by model
impact, touched         from a raw row up to all rows that depend on it
lineage                 which columns a column is made of
uses                    whether a text uses a column at all
"""
