"""HTTP for connectors: requests and pages as values, and a client that fails in our own words.

Whoever looks for connectors imports this package too, and needs no client for that: take what you use from the module that has it.
"""
