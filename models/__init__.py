"""Decision and risk models: fit, score, explain."""
