"""The ontology as values: what there is in the graph, and which mart says so. Adding a type touches one file here."""
