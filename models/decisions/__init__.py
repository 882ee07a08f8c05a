"""The decision trees in force: one YAML file each, named after its tree."""
