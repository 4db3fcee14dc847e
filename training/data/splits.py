"""The check that no recording is in two splits: a model would be measured on what it was trained on.

Two records belong to the same recording if they name the same audio (any part of it), or the same `recording` of the
same `source`, or, if neither is known, if they have the same transcript. Copies of a file under other names are not
recognized.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from training.data.record import Record
from training.data.record_files import MAX_PROBLEMS_SHOWN, UnusableRecord, is_uri


def require_disjoint_splits(records: Iterable[Record]) -> None:
    """Check that each recording is in one split only. Raises UnusableRecord, which names the recordings that are
    not.
    """
    found: dict[str, dict[str, str]] = defaultdict(dict)  # recording → split → one record's id
    for record in records:
        for name in recording_names(record):
            found[name].setdefault(record.split, record.id)
    shared = [(name, ids) for name, ids in found.items() if len(ids) > 1]
    if shared:
        lines = [f"{name[:200]} lies in " + " and ".join(f"{s} ({i})" for s, i in ids.items()) for name, ids in shared]
        more = [f"and {len(lines) - MAX_PROBLEMS_SHOWN} more"] if len(lines) > MAX_PROBLEMS_SHOWN else []
        title = f"{len(lines)} recordings lie in more than one split; give all records of a recording the same `split`"
        raise UnusableRecord("\n".join([title, *lines[:MAX_PROBLEMS_SHOWN], *more]), "recording in two splits")


def recording_names(record: Record) -> Iterator[str]:
    """Yield the names of the record's recording: records that share one of them belong to the same recording."""
    if record.recording:
        yield f"recording {record.source}/{record.recording}" if record.source else f"recording {record.recording}"
    if record.audio:
        yield record.audio if is_uri(record.audio) else str(Path(record.audio).resolve())
    elif not record.recording and record.transcript.strip():
        yield f"the transcript {' '.join(record.transcript.split())!r}"
