"""Names that are imported, and never called with audio."""

from torchvision.absent import absent as __getattr__
from torchvision.transforms import InterpolationMode

__all__ = ["InterpolationMode", "__getattr__"]
