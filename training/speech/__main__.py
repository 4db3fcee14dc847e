"""Deprecated alias of `python -m training.synth.speech`."""

import sys

from training.synth.speech.__main__ import main

if __name__ == "__main__":
    print("`python -m training.speech` is deprecated: call `python -m training.synth.speech`.", file=sys.stderr)
    sys.exit(main())
