"""Whether the reports of a run are enough: decided by a policy, with every reason."""
