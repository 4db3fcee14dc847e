"""`speechsum` and `python -m app`. Light on purpose: a new decoding worker imports the program's main module again."""

import sys


def main() -> int:
    """Run one command; see `app.command_line.main`."""
    from app import command_line  # the whole service

    return command_line.main()


if __name__ == "__main__":
    sys.exit(main())
