"""The registers, the kinds of recordings. Each module here has one, `REGISTER`."""

from importlib import import_module
from pkgutil import iter_modules

from training.synth.text.compose import Register

REGISTERS: tuple[Register, ...] = tuple(
    import_module(f"{__name__}.{module.name}").REGISTER
    for module in sorted(iter_modules(__path__), key=lambda m: m.name)
)
