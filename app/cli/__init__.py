"""The command line `speechsum`: a module for each command, which is imported when the command runs.

    program.py              the commands, their exit statuses, `main`
    serve.py, settings.py, keys.py, database.py, models.py, doctor.py
    mcp.py
    summarize.py, ask.py, jobs.py

The commands of the last line talk to a service through `speechsum_client`. `service.py` finds the service or starts
one, `errors.py` says in plain words what went wrong, `progress.py` shows how far it is, `answers.py` prints the
answers. Answers go to standard output, everything else to standard error.
"""

from app.cli.program import main

__all__ = ["main"]
