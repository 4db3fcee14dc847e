"""Settings of recordings that are kept for further requests."""

from pydantic import Field

from app.settings.section import Section


class RecordingSettings(Section):
    """Recordings that are kept for further requests, where a caller asks for it with `keep`."""

    seconds: float = Field(
        0,
        ge=0,
        description="Time that a recording is kept after it was read, in seconds. 0 keeps none, and refuses requests "
        "that ask for it. Whatever the time, nothing outlives the process.",
    )
    max_count: int = Field(
        100, ge=1, description="Recordings that are kept. A further one takes the oldest one's place."
    )
    max_count_per_caller: int = Field(
        20,
        ge=1,
        description="Recordings of one caller (API key, else address) that are kept. A further one takes the place of "
        "the caller's oldest one.",
    )
    max_bytes: int = Field(
        1 << 30,
        ge=1,
        description="Bytes of all kept recordings. The oldest ones make room; a recording that alone is larger is not "
        "kept. A transcript takes some kilobytes of memory. A model that hears the recording itself needs its samples, "
        "64,000 bytes a second, in files without names in TMPDIR.",
    )
