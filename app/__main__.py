"""The entry point of `speechsum` and `python -m app`.

It imports almost nothing, because every decoding worker imports the main module.
"""

import sys


def main() -> int:
    """Run one command; see `app.cli.main`."""
    from app import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
