"""Images: makes a handful of them exist in the engine, and knows where each came from."""

from harness.run.progress import PlainProgress, Progress, Stage
from harness.supply.catalogue import ALL, EXAMPLES, LAB
from harness.supply.image import Image
from harness.supply.supply import Supply

__all__ = [
    "ALL",
    "EXAMPLES",
    "LAB",
    "Image",
    "PlainProgress",
    "Progress",
    "Stage",
    "Supply",
]
