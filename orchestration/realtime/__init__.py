"""What makes Dagster quick enough to be the one lane on which everything runs."""
