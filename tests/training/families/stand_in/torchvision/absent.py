"""What the stand-in's modules give for every name they are asked for: something that can be imported and not called."""

from typing import Any


def absent(name: str) -> Any:
    """For a module's `__getattr__`."""
    if name.startswith("__"):
        raise AttributeError(name)

    def call(*_: object, **__: object) -> None:
        raise NotImplementedError(f"torchvision's {name}: a stand-in handles no image")

    return call
