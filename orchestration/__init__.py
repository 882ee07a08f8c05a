"""The Dagster composition root: definitions, schedules, sensors."""
