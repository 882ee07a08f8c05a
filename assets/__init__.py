"""Factories from declared values to Dagster assets, one module a stage."""
