"""The version matrix: the scenarios, run once for each cell of versions, and shown side by side."""
