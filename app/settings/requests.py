"""Settings of requests: their limits, their timeouts, long recordings and decoding."""

from pydantic import Field

from app.settings.section import Section


class LimitSettings(Section):
    """Limits of one request, of one client, and of all requests together."""

    upload_bytes: int = Field(1_000_000_000, ge=1, description="Largest recording that is accepted, in bytes.")
    json_bytes: int = Field(
        100_000_000,
        ge=1,
        description="Largest body of a chat completion, in bytes. It includes the recording in base64.",
    )
    json_text_bytes: int = Field(
        1_000_000,
        ge=1,
        description="Largest JSON of a request without the recording in it, in bytes. The service parses no more.",
    )
    json_values: int = Field(
        20_000, ge=1, description="Most values (objects, list items, fields) in the JSON of one request."
    )
    held_bytes: int = Field(
        4_000_000_000,
        ge=1,
        description="Bytes of uploaded recordings that all requests together may hold at once. They are on the disk, "
        "where TMPDIR says.",
    )
    client_held_bytes: int = Field(
        2_000_000_000,
        ge=1,
        description="Bytes of uploaded recordings that one client (its API key, else its address) may hold at once.",
    )
    uploads: int = Field(
        512,
        ge=1,
        description="Requests that may be uploading at once. They do not hold a place in the engine's queue yet.",
    )
    client_uploads: int = Field(
        128,
        ge=1,
        description="Uploads that one client (its API key, else its address) may have in progress. One more replaces "
        "the client's slowest upload if that one has stalled; otherwise it gets a 429.",
    )
    upload_bytes_per_second: float = Field(
        500,
        ge=0,
        description="Slowest upload that is accepted, in bytes per second over any `TIMEOUTS__UPLOAD_IDLE_SECONDS`. "
        "0 accepts any rate.",
    )
    decode_seconds: float = Field(14_400, gt=0, description="Longest recording that is accepted, in seconds.")
    samples: int = Field(
        3_000_000_000,
        ge=1,
        description="Most samples that a recording may decode to, over all channels and at its own sampling rate.",
    )
    samples_per_byte: float = Field(
        600,
        gt=0,
        description="Most samples that each byte of a recording may decode to, if it has more than 700 million samples "
        "in all. Silence in FLAC has 500 to 600. A file with more was made to keep the service busy, and gets a 413.",
    )
    missing_seconds: float = Field(
        0.5,
        ge=0,
        description="Audio that may be missing from a damaged file, in seconds. Up to this length the response has a "
        "warning; a file that lacks more is refused.",
    )
    source_rate: int = Field(384_000, ge=16_000, description="Highest sampling rate of a recording, in Hz.")
    channels: int = Field(8, ge=1, description="Most channels in a recording. The channels are mixed to one.")
    parts: int = Field(
        1000,
        ge=1,
        description="Most recordings that one file may hold, joined end to end. They are read as one recording.",
    )
    max_tokens: int = Field(4096, ge=1, description="Most tokens that a request may ask for in one summary.")
    context_characters: int = Field(
        4000,
        ge=0,
        le=16_000,
        description="Longest `context` of a request, in characters. The model reads it in every prompt of the request, "
        "beside the recording. 0 accepts none.",
    )
    vocabulary_terms: int = Field(
        100,
        ge=0,
        description="Most names and terms in the `vocabulary` of a request. Whisper has room for about 40 names, and a "
        "warning tells of those that it has no room for. 0 accepts none.",
    )
    schema_seconds: float = Field(
        5,
        gt=0,
        description="Longest time, in seconds, to compile a request's JSON Schema or to check an answer against it. "
        "After that the schema is refused, or `structured` is null. Neither is tried again.",
    )
    templates: int = Field(
        50, ge=0, description="Summary templates that are kept for one API key, or without keys for all callers."
    )
    max_waiting: int = Field(
        64, ge=0, description="Requests that may wait for the engine beyond `ENGINE__MAX_NUM_SEQS`. More get a 503."
    )
    client_concurrency: int = Field(
        48,
        ge=0,
        description="Requests that one client (its API key, else its address) may have in the engine or its queue. "
        "More get a 429. The default is half of all places. 0 means no limit.",
    )
    queued_audio_seconds: float = Field(
        28_800,
        gt=0,
        description="Audio of all requests inside the service at once, in seconds. Beyond it a request gets a 503 that "
        "says when there will be room. A recording that is the only one is always accepted.",
    )
    retry_after_seconds: float = Field(
        5, gt=0, description="`Retry-After` of a refusal, in seconds, as long as the service has no better estimate."
    )


class LongSettings(Section):
    """Recordings longer than one pass of the model: they are read in windows, and the windows' notes are merged."""

    window_seconds: float = Field(
        0,
        ge=0,
        description="Longest window, in seconds. 0 uses the model's own. The model's longest pass is never exceeded.",
    )
    pass_seconds: float = Field(
        0,
        ge=0,
        description="Longest recording that is read in one pass, in seconds. Longer ones are read in windows. 0 uses "
        "the length that the model was trained on if it is known, else its longest pass, which is never exceeded.",
    )
    windows_at_once: int = Field(
        8, ge=1, description="Windows of one recording that may be in the engine at the same time."
    )
    seconds_at_once: float = Field(
        600,
        gt=0,
        description="Audio of one recording that may be in the engine at the same time, in seconds. It may lower the "
        "number of windows. Its features are held in memory.",
    )
    note_tokens: int = Field(
        256,
        ge=32,
        description="Most tokens of the notes on one window, or of each section of it if the "
        "model writes notes in sections.",
    )


class EffortSettings(Section):
    """Requests with `effort=high`: of several summaries, the one that the others agree with most is sent."""

    samples: int = Field(
        6,
        ge=2,
        le=64,
        description="Summaries of which a request with `effort=high` sends the best: one by greedy decoding, the "
        "others sampled. Each takes a place among `ENGINE__MAX_NUM_SEQS`.",
    )
    temperature: float = Field(0.7, gt=0, le=2, description="Temperature at which these samples are drawn.")


class TimeoutSettings(Section):
    """How long things may take, in seconds."""

    request_seconds: float = Field(
        900, gt=0, description="Longest time from a request's first byte to the last byte of its response."
    )
    upload_idle_seconds: float = Field(30, gt=0, description="Longest pause between two pieces of an upload.")
    decode_seconds: float = Field(
        120, gt=0, description="Longest time to decode one recording. Time in which it is paused does not count."
    )
    keep_alive_seconds: float = Field(
        10, gt=0, description="Silence after which an event stream sends a comment to keep the connection open."
    )
    drain_seconds: float = Field(
        0,
        ge=0,
        description="Time after SIGTERM in which the service still takes requests, while `/readyz` says that it is "
        "draining, in seconds. Give it the time that your load balancer needs to notice. 0 stops listening at once.",
    )
    shutdown_seconds: float = Field(
        30, ge=0, description="Time that open requests have to finish when the service stops."
    )


class DecoderSettings(Section):
    """The worker processes that decode recordings."""

    workers: int = Field(2, ge=1, description="Number of worker processes that decode recordings.")
    memory_bytes: int = Field(
        2 << 30,
        ge=256 << 20,
        description="Memory that one worker may use for a recording, in bytes of address space.",
    )
    files_per_worker: int = Field(64, ge=1, description="Recordings after which a worker process is replaced.")
    paused: int = Field(
        32,
        ge=0,
        description="Recordings whose decoding may be paused while shorter ones are decoded. Each keeps a process of a "
        "few MB. Any beyond that number start again later. 0 pauses none.",
    )
