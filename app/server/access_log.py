"""Shortens the ids of kept recordings in the access log: without API keys, whoever knows an id may use the recording.

Knows nothing about recordings but how their ids look.
"""

import logging
import re

# An id, of which the first four digits stay: enough to follow a recording in the log, and far too few to use it.
_RECORDING_ID = re.compile(r"(rec-[0-9a-f]{4})[0-9a-f]+", re.IGNORECASE)


class RecordingIdFilter(logging.Filter):
    """A filter for the logger `uvicorn.access`, whose records hold the path with its query. It logs every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten the ids in the record's arguments, and return True."""
        if isinstance(record.args, tuple):
            record.args = tuple(_RECORDING_ID.sub(r"\1…", one) if isinstance(one, str) else one for one in record.args)
        return True


_RECORDING_ID_FILTER = RecordingIdFilter()


def shorten_recording_ids() -> None:
    """Shorten the ids in the access log of this process. Calling it again does nothing."""
    logging.getLogger("uvicorn.access").addFilter(_RECORDING_ID_FILTER)
