"""The rules of the default sources' streams, one module a kind of connector. A module's RULES are found by the registry.

How `on_failure` is chosen: a row that would make a figure wrong wherever it is used (no customer, no currency, a negative
price) is held back alone. What only a person can judge (a code we have not met) is a warning. What says that the source itself is
broken (a snapshot without rows, which would delete all that we know) blocks the load.
"""
