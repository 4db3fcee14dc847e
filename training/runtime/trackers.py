"""Where training curves are reported: TensorBoard, or by an option W&B, trackio, several of them or none.

Knows nothing about what is reported.
"""

import argparse
from importlib.util import find_spec

NO_TRACKER = "none"
EXTRAS = {"tensorboard": "train", "wandb": "trackers", "trackio": "trackers"}


def tracker_name(name: str) -> str:
    """Return the name of a tracker. Raises `argparse.ArgumentTypeError` if it is unknown or not installed."""
    if name != NO_TRACKER and name not in EXTRAS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join([*EXTRAS, NO_TRACKER])}")
    if name != NO_TRACKER and find_spec(name) is None:
        how = f"pip install {name}, or pip install '.[{EXTRAS[name]}]' in the folder of the repository"
        raise argparse.ArgumentTypeError(f"the package {name!r} is not installed: {how}")
    return name


def add_tracker_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option `--report-to`."""
    what = f"Where training curves are reported: any of {', '.join(EXTRAS)}, or {NO_TRACKER}."
    parser.add_argument("--report-to", type=tracker_name, nargs="+", default=["tensorboard"], help=what)
