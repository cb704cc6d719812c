"""The pytest plugin: scenarios over examples, a lab when one is needed, verdicts into reports."""
