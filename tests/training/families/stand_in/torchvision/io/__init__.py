"""Names that are imported, and never called with audio."""

from torchvision.absent import absent as __getattr__


class ImageReadMode:
    RGB = "RGB"


__all__ = ["ImageReadMode", "__getattr__"]
