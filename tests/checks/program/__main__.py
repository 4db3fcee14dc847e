"""Apart from the program, as the service's is: a new decoding worker imports the program's main module again."""

from tests.checks.program import main

if __name__ == "__main__":
    main()
