"""A cluster that plays the real one: what `pytest scenarios --site live` is run against.

Everything of it is a separate host of a lab; whoever uses it has its settings and its certificates, and
nothing else.
"""
