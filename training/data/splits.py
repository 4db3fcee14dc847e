"""Whether any recording lies in two splits: what was trained on would then be measured on.

Two records are of one recording if they name the same audio (whichever part of it), the same `recording` of the same
`source`, or, where neither is known, have the same transcript. Copies of a file under two names are not recognised.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from training.data.record import Record
from training.data.record_files import MAX_PROBLEMS_SHOWN, UnusableRecord, is_uri


def require_disjoint_splits(records: Iterable[Record]) -> None:
    """Raises `BadExample` that names every recording of which records lie in several splits."""
    found: dict[str, dict[str, str]] = defaultdict(dict)  # recording → split → one record's id
    for record in records:
        for name in recording_names(record):
            found[name].setdefault(record.split, record.id)
    shared = [(name, ids) for name, ids in found.items() if len(ids) > 1]
    if shared:
        lines = [f"{name[:200]} lies in " + " and ".join(f"{s} ({i})" for s, i in ids.items()) for name, ids in shared]
        more = [f"and {len(lines) - MAX_PROBLEMS_SHOWN} more"] if len(lines) > MAX_PROBLEMS_SHOWN else []
        said = f"{len(lines)} recordings lie in more than one split; give all records of a recording the same `split`"
        raise UnusableRecord("\n".join([said, *lines[:MAX_PROBLEMS_SHOWN], *more]), "recording in two splits")


def recording_names(record: Record) -> Iterator[str]:
    """The names by which the record's recording may be known."""
    if record.recording:
        yield f"recording {record.source}/{record.recording}" if record.source else f"recording {record.recording}"
    if record.audio:
        yield record.audio if is_uri(record.audio) else str(Path(record.audio).resolve())
    elif not record.recording and record.transcript.strip():
        yield f"the transcript {' '.join(record.transcript.split())!r}"
