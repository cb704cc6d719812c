"""The benchmark: what the harness costs, beside the same work done by hand in the same minutes."""
