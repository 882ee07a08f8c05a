"""The HTTP interface. It never imports Dagster: it appends to the event log, which wakes a sensor."""
