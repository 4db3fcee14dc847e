"""Runs the program. It is a module of its own, because a new decoding worker imports the main module again."""

from tests.checks.program import main

if __name__ == "__main__":
    main()
