"""Tools that agents share. Each reads a snapshot, and answers in plain JSON."""
