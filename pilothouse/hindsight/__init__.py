"""Decisions seen from later on: what became of them, what others would have been worth, and which ones something touched.

money.py        what an action brings, given what becomes of the order
orders.py       what became of orders, as the marts tell it
settling.py     decisions whose outcome is known: an entry of the ledger and an event each, once
ledger.py       what settled decisions earned, against what a simpler rule would have
backtest/       another tree, threshold, model or prompt over past events, each as it was known then
affected.py     the decisions that a bad batch, a failed check, a model or a merge touched

It stands beside the agents and not among them: an agent's version is the hash of the code that decides, and nothing here does.
"""
