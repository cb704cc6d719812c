"""NoTailCar's harness: brings up a sealed lab, runs Nomad jobs in it as they stand, proves what they do."""


def __getattr__(name: str) -> str:
    """Give `__version__`, which is looked up when it is asked for: it takes longer than all else here."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - see above

        return version("notailcar")
    raise AttributeError(name)
