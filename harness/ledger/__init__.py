"""The append-only history of a run: what was observed, when, where and by whom. It judges nothing."""
