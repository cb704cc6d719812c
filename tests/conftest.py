"""Settings that all tests share."""

from hypothesis import settings

# How long one example takes says more of the machine's load than of the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
