"""Where curves go while a recipe runs: TensorBoard, and by a setting W&B, trackio, several or none.

Knows nothing about what is reported.
"""

import argparse
from importlib.util import find_spec

NONE = "none"
EXTRAS = {"tensorboard": "train", "wandb": "trackers", "trackio": "trackers"}


def place(name: str) -> str:
    """A place to report to. Raises `argparse.ArgumentTypeError` for one that is unknown or not installed."""
    if name != NONE and name not in EXTRAS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join([*EXTRAS, NONE])}")
    if name != NONE and find_spec(name) is None:
        how = f"pip install {name}, or speechsum's extra: pip install 'speechsum[{EXTRAS[name]}]'"
        raise argparse.ArgumentTypeError(f"the package {name!r} is not installed: {how}")
    return name


def add_argument(parser: argparse.ArgumentParser) -> None:
    """The option."""
    what = f"where curves go while it runs: any of {', '.join(EXTRAS)}; or {NONE} [tensorboard]"
    parser.add_argument("--report-to", type=place, nargs="+", default=["tensorboard"], help=what)
