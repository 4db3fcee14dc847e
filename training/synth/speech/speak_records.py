"""Speak records: write their audio files and a JSONL that names them, in several processes. A run that was stopped can
be resumed.

    out/settings.json      the settings of the folder; other settings need another folder
    out/audio/<id>.ogg     16 kHz mono, Opus (or .flac)
    out/clips.jsonl        a line for each finished clip (id, audio, duration_s, voice, augmentation), to resume from
    out/records.jsonl      the records in the order of the input, with audio, duration_s and voice; written at the end
    out/failures.jsonl     the records that could not be spoken, and why

The voices, the manner and the augmentation of a record depend on the seed and its id only, and not on the number of
processes. Knows nothing about what the records are for.
"""

import json
import multiprocessing
import os
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from training.synth.speech.augment import AugmentConfig, Samples, augment
from training.synth.speech.synthesize import RATE, speak
from training.synth.speech.voices import Engine, Split, Voice, voices

_BABBLE_CLIPS = 12
_REPORT_EVERY_S = 30.0


@dataclass(frozen=True)
class SpeechSettings:
    """The settings that the audio depends on.

    shares: (engine, weight). augment: the share of the probabilities of `AugmentConfig`; 0 is clean speech. format:
    "opus" or "flac". kbps: the bit rate of Opus in kbit/s.
    """

    shares: tuple[tuple[Engine, float], ...]
    seed: int = 0
    augment: float = 1.0
    format: str = "opus"
    kbps: int = 24


@dataclass
class SpeechOutcome:
    """The number of records that this run spoke, that were finished before, and that failed; the seconds of audio that
    it spoke, and the seconds that it took.
    """

    spoken: int = 0
    resumed: int = 0
    failed: int = 0
    audio_seconds: float = 0.0
    wall_seconds: float = 0.0


def speak_records(records: Path, out: Path, settings: SpeechSettings, *, jobs: int = 1) -> SpeechOutcome:
    """Speak every record of a JSONL file, and write the folder `out`. jobs: number of processes.

    Records need the fields id, split and turns; all other fields are copied unread. Raises ValueError if `out` has
    other settings, if ids repeat, or if none of the engines has a voice in a record's split.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "audio").mkdir(exist_ok=True)
    _claim_folder(out, settings)
    rows = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines() if line.strip()]
    if len({_file_stem(row["id"]) for row in rows}) != len(rows):
        raise ValueError(f"{records}: several records have the same id")
    for split in {row["split"] for row in rows}:
        _usable_engines(settings, split)
    finished = {row["id"]: row for row in _finished_clips(out / "clips.jsonl") if (out / row["audio"]).is_file()}
    waiting = [row for row in rows if row["id"] not in finished]
    outcome = SpeechOutcome(resumed=len(rows) - len(waiting))
    started = shown = time.monotonic()
    with (
        open(out / "clips.jsonl", "a", encoding="utf-8") as clips,
        open(out / "failures.jsonl", "w", encoding="utf-8") as failures,
    ):
        for result in _results(waiting, _babble(rows, settings), out, settings, jobs):
            if "error" in result:
                outcome.failed += 1
                print(f"FAILED {result['id']}: {result['error']}", file=sys.stderr, flush=True)
                print(json.dumps(result, ensure_ascii=False), file=failures, flush=True)
                continue
            finished[result["id"]] = result
            outcome.spoken += 1
            outcome.audio_seconds += result["duration_s"]
            print(json.dumps(result, ensure_ascii=False), file=clips, flush=True)
            if time.monotonic() - shown > _REPORT_EVERY_S:
                shown = time.monotonic()
                print(
                    f"{outcome.spoken}/{len(waiting)} spoken, {outcome.audio_seconds / 3600:.2f} h",
                    file=sys.stderr,
                    flush=True,
                )
    outcome.wall_seconds = time.monotonic() - started
    _write_whole(
        out / "records.jsonl", (_record_line(row, finished[row["id"]]) for row in rows if row["id"] in finished)
    )
    return outcome


def _claim_folder(out: Path, settings: SpeechSettings) -> None:
    file, mine = out / "settings.json", json.dumps(asdict(settings), indent=2) + "\n"
    if not file.exists():
        _write_whole(file, [mine.rstrip("\n")])
    elif (theirs := file.read_text()) != mine:
        raise ValueError(
            f"{out} was built with other settings; choose another folder or delete it.\nthere: {theirs}\nnow: {mine}"
        )


def _record_line(row: dict[str, Any], result: dict[str, Any]) -> str:
    added = {field: result[field] for field in ("audio", "duration_s", "voice")}
    return json.dumps({**row, **added}, ensure_ascii=False)


def _write_whole(file: Path, lines: Iterable[str]) -> None:
    scratch = file.with_suffix(f".{os.getpid()}.tmp")
    scratch.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    os.replace(scratch, file)


def _finished_clips(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the finished clips. A last line that was cut because the process was killed is removed, and its record is
    spoken again.
    """
    if not file.exists():
        return
    whole = file.read_text(encoding="utf-8")
    if whole and not whole.endswith("\n"):
        whole = whole[: whole.rfind("\n") + 1]
        _write_whole(file, whole.splitlines())
    for line in whole.splitlines():
        yield json.loads(line)


def _file_stem(record_id: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in record_id)


def _usable_engines(settings: SpeechSettings, split: Split) -> tuple[list[Engine], list[float]]:
    usable = [(engine, share) for engine, share in settings.shares if share > 0 and voices(engine, split)]
    if not usable:
        raise ValueError(
            f"none of the engines {', '.join(e for e, _ in settings.shares)} has a voice in split {split!r}"
        )
    total = sum(share for _, share in usable)
    return [engine for engine, _ in usable], [share / total for _, share in usable]


def choose_voices(row: dict[str, Any], settings: SpeechSettings, rng: np.random.Generator) -> list[Voice]:
    """Return a voice for each speaker of a record: all of one engine, and of different speakers as long as there are
    enough.
    """
    engines, shares = _usable_engines(settings, row["split"])
    engine = engines[int(rng.choice(len(engines), p=shares))]
    by_speaker: dict[str, list[Voice]] = {}
    for voice in voices(engine, row["split"]):
        by_speaker.setdefault(voice.speaker, []).append(voice)
    order = list(rng.permutation(list(by_speaker)))
    count = 1 + max(int(speaker) for speaker, _ in row["turns"])
    pools = [by_speaker[order[i % len(order)]] for i in range(count)]
    return [pool[int(rng.integers(len(pool)))] for pool in pools]


def _babble(rows: list[dict[str, Any]], settings: SpeechSettings) -> dict[str, list[Samples]]:
    """Return clips of other people for each split, to mix under its clips as babble: the first records, spoken by
    espeak-ng.
    """
    bank: dict[str, list[Samples]] = {}
    if settings.augment <= 0:
        return bank
    for split in sorted({row["split"] for row in rows}):
        rng = np.random.default_rng([settings.seed, 77])
        # espeak-ng has many voices in each split, and is fast enough not to matter
        pool = voices("espeak", split)
        first_turns = (str(text) for row in rows if row["split"] == split for _, text in row["turns"][:1])
        texts = [text[:300] for text in first_turns if any(letter.isalpha() for letter in text)][:_BABBLE_CLIPS]
        bank[split] = [speak([(0, text)], [pool[int(rng.integers(len(pool)))]], rng) for text in texts]
    return bank


def _results(
    rows: list[dict[str, Any]], babble: dict[str, list[Samples]], out: Path, settings: SpeechSettings, jobs: int
) -> Iterator[dict[str, Any]]:
    if jobs <= 1:
        _start_worker(babble, out, settings)
        yield from map(_speak_one, rows)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_start_worker, initargs=(babble, out, settings)
    ) as pool:
        yield from pool.map(_speak_one, rows, chunksize=4)


_worker_state: dict[str, Any] = {}


def _start_worker(babble: dict[str, list[Samples]], out: Path, settings: SpeechSettings) -> None:
    _worker_state.update(babble=babble, out=out, settings=settings)


def _speak_one(row: dict[str, Any]) -> dict[str, Any]:
    """Speak one record and write its file. Return the fields to add to the record, or its id and the error."""
    settings: SpeechSettings = _worker_state["settings"]
    try:
        rng = np.random.default_rng([settings.seed, zlib.crc32(row["id"].encode())])
        chosen = choose_voices(row, settings, rng)
        samples = speak([(int(speaker), text) for speaker, text in row["turns"]], chosen, rng)
        done: list[str] = []
        if settings.augment > 0:
            samples, done = augment(
                samples,
                rng,
                AugmentConfig().scale_probabilities(settings.augment),
                _worker_state["babble"].get(row["split"], ()),
            )
        name = f"audio/{_file_stem(row['id'])}.{'flac' if settings.format == 'flac' else 'ogg'}"
        _write_audio(_worker_state["out"] / name, samples, settings)
    except Exception as error:  # one bad text must not end a run of hours; it is counted and reported
        return {"id": row["id"], "error": f"{type(error).__name__}: {error}"}
    return {
        "id": row["id"],
        "audio": name,
        "duration_s": round(len(samples) / RATE, 3),
        "voice": ", ".join(dict.fromkeys(voice.id for voice in chosen)),
        "augmentation": done,
    }


def _write_opus(file: Path, samples: Samples, kbps: int) -> None:
    """Write an Ogg Opus file with a low effort of the encoder. libsndfile has only the highest effort, which is slower
    than the synthesis.
    """
    import av  # imported here because a machine that writes FLAC need not have FFmpeg's libraries

    with av.open(str(file), "w", format="ogg") as container:
        effort = {"compression_level": "3", "application": "voip"}
        stream = container.add_stream("libopus", rate=RATE, layout="mono", options=effort)
        stream.bit_rate = kbps * 1000
        # One frame for the whole clip: the encoder fills its last packet, and the container notes where the clip ends.
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="flt", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def _write_audio(file: Path, samples: Samples, settings: SpeechSettings) -> None:
    scratch = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    if settings.format == "flac":
        sf.write(scratch, samples, RATE, format="FLAC", subtype="PCM_16")
    else:
        _write_opus(scratch, samples, settings.kbps)
    os.replace(scratch, file)
