"""Leaves out of the access log what callers sent: the values of the query, which may be texts or addresses, and most of
the id of a kept recording, since without API keys whoever knows an id may use the recording.

Knows nothing about recordings but how their ids look.
"""

import logging
import re

# An id, of which the first four digits stay: enough to follow a recording in the log, and far too few to use it.
_RECORDING_ID = re.compile(r"(rec-[0-9a-f]{4})[0-9a-f]+", re.IGNORECASE)


_QUERY = re.compile(r"\?.*")


class PathFilter(logging.Filter):
    """A filter for the logger `uvicorn.access`, whose records hold the path with its query. It logs every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten the ids and the query in the record's arguments, and return True."""
        if isinstance(record.args, tuple):
            record.args = tuple(_shorten(one) if isinstance(one, str) else one for one in record.args)
        return True


def _shorten(text: str) -> str:
    return _RECORDING_ID.sub(r"\1…", _QUERY.sub("?…", text))


_PATH_FILTER = PathFilter()


def shorten_paths() -> None:
    """Shorten the paths in the access log of this process. Calling it again does nothing."""
    logging.getLogger("uvicorn.access").addFilter(_PATH_FILTER)
