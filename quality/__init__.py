"""Rules as values, their compilation to Great Expectations, the Polars engine, quarantine and drift.

`rule` declares, `rules` holds the declarations of the default sources, `gate` checks a load while it streams, `suite`
checks a table and speaks to Great Expectations, `quarantine` keeps what was held back, `drift` compares descriptions.
Only `engine` and `docs` import Great Expectations, and only `suite` imports them, when it is called.
"""
