"""NoTailCar's harness: brings up a sealed lab, runs Nomad jobs in it as they stand, proves what they do."""

from importlib.metadata import version

__version__ = version("notailcar")
