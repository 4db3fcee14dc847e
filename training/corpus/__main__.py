"""Deprecated alias of `python -m training.synth.text`."""

import sys

from training.synth.text.__main__ import main

if __name__ == "__main__":
    print("`python -m training.corpus` is deprecated: call `python -m training.synth.text`.", file=sys.stderr)
    main()
