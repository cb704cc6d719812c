"""Faults, and the examples and their variants that are put through them."""
