"""`speechsum settings`."""

import sys

from app.cli.program import new_command_app

app = new_command_app()


@app.command()
def settings() -> None:
    """Print every setting with its description and default, as .env.example."""
    from app.settings import env_example

    sys.stdout.write(env_example())
