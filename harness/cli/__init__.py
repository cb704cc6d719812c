"""The `notailcar` command."""
