"""What the shape of the graph says: centrality, groups, communities, likeness. Pure functions from frames of edges to frames."""
