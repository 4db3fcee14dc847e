"""The exit statuses of the program, for scripts. Imports nothing."""

FAILED = 1
USAGE_ERROR = 2
NO_SERVICE = 3
NOT_ALLOWED = 4
NOT_ENDED = 5
SOME_FAILED = 6
INTERRUPTED = 130
TERMINATED = 143

EXIT_STATUSES = {
    0: "the command succeeded, or a running service was stopped by SIGTERM",
    FAILED: "the command failed: the model could not be loaded, its engine died, the service could not do what it was "
    "asked for, or `doctor` found what stops the service",
    USAGE_ERROR: "the command could not be tried: a wrong option or setting, an unknown model, a port that is taken, a "
    "file that cannot be read",
    NO_SERVICE: "no service answers there, or the connection to it was lost",
    NOT_ALLOWED: "the service wants an API key, or the key does not permit this",
    NOT_ENDED: "`jobs wait --timeout`: the job has not ended yet",
    SOME_FAILED: "`batch`: every recording has its row, and some of the rows are errors",
    INTERRUPTED: "the command was interrupted by Ctrl-C",
    TERMINATED: "SIGTERM ended a command that had started the model, which was stopped too",
}
