"""The knowledge graph: ontology, entity resolution, loading, history, queries."""
