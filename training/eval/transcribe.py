"""Transcripts of records by Whisper: the first half of a cascade, with the service's own transcriber.

Knows nothing about what the transcripts are used for.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from app.core.asr.confidence import filter_transcript
from app.core.asr.settings import RecognizerSettings
from app.core.asr.whisper import WhisperTranscriber
from model_repo.parts import fetch_part
from training.data.audio import read_audio
from training.data.record import Record

WHISPER_PART = "whisper-tiny-en-ct2"


async def transcribe(records: Sequence[Record], whisper: Path | None = None) -> list[Record]:
    """Return the records with Whisper's transcript of their audio; it is "" if Whisper found no speech or was too
    unsure of it, as in the service.

    whisper: a folder in CTranslate2's format; None means the model of the service's own cascade. A recording of several
    records is transcribed once. Raises UnusableRecord for audio that cannot be read.
    """
    transcriber = WhisperTranscriber(whisper or fetch_part(WHISPER_PART))
    await transcriber.start()
    said: dict[bytes, str] = {}
    out = []
    try:
        for record in records:
            samples = read_audio(record)
            key = sha256(samples.tobytes()).digest()
            if key not in said:
                said[key] = filter_transcript(await transcriber.transcribe(samples), RecognizerSettings()).text
            out.append(replace(record, transcript=said[key]))
    finally:
        await transcriber.stop()
    return out
