"""`speechsum` and `python -m app`. It imports almost nothing, because every decoding worker imports the main module."""

import sys


def main() -> int:
    """Run one command; see `app.command_line.main`."""
    from app import command_line

    return command_line.main()


if __name__ == "__main__":
    sys.exit(main())
