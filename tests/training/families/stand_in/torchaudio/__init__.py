"""What Granite Speech's feature extractor takes from torchaudio, whose wheels on the index are built for CUDA and do
not import beside a CPU build of torch. On the path only where the real one is not installed.
"""

from . import transforms

__version__ = "0"
__all__ = ["transforms"]
