"""Agents as values: the loop, budgets, tools, capsules, replay."""
