"""What decoding a recording costs, by format, beside the ffmpeg command line."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.decode_once import peak_bytes
from benchmarks.encodings import ENCODINGS
from benchmarks.intervals import mean_interval, ratio_interval
from benchmarks.recordings import speech_of
from benchmarks.report import Cell, Results

NAME = "decode"
THEORY = """
The service turns every upload into 16 kHz mono samples. What that must cost is what the codec costs; the `ffmpeg`
command line shows how much that is, with everything in C. The service decodes with the same libraries (libsndfile for
wav and Ogg) from Python, and does more than ffmpeg: it finds out whether all bytes of the file were understood, whether
audio is missing, whether channels cancel each other, and whether a checksum of FLAC is right. Python costs the same for
a frame of 20 ms as for a second, so the frames are joined before anything is done with them.

Measured are CPU seconds, because wall seconds depend on what else runs: of the service's decoder from the file to the
samples, in a process of its own that has loaded its libraries as a worker has, and of a whole `ffmpeg` process with one
thread that writes the same samples. Each is repeated, in turns, and the ratio (service over ffmpeg; the aim is at most
1.1) is of paired repeats, with its 95 % interval. Both must find the same length, or the benchmark fails. Peak memory
is that of each process (VmHWM); the service's contains Python and its libraries, and does not grow with the length.
Without an `ffmpeg` on the path or in the package imageio-ffmpeg, its columns are empty.
"""
COLUMNS = ("format", "CPU s an audio hour", "ffmpeg", "ratio to ffmpeg", "peak MB", "ffmpeg peak MB")
AIM = 1.1
_MAX_DIFFERENCE_S = 0.1  # encoders put silence before and after, which not all decoders take away


@dataclass(frozen=True)
class Cost:
    """CPU seconds, seconds of audio, and peak memory in bytes."""

    cpu_s: float
    audio_s: float
    peak_bytes: int

    @property
    def cpu_s_per_hour(self) -> float:
        """CPU seconds for an hour of audio."""
        return self.cpu_s / self.audio_s * 3600


def run(quick: bool) -> Results:
    """Measure all formats. Raises ValueError if the service and ffmpeg do not find the same length."""
    repeats, seconds = (2, 5.0) if quick else (5, 60.0)
    ffmpeg = find_ffmpeg()
    ours: dict[str, list[Cost]] = defaultdict(list)
    theirs: dict[str, list[Cost]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder, str(number)) for number, name in enumerate(ENCODINGS)}
        for name, file in files.items():
            file.write_bytes(ENCODINGS[name](speech_of(seconds)))
        for _ in range(repeats):
            for name, file in files.items():
                ours[name].append(measure_service(file))
                if ffmpeg is not None:
                    theirs[name].append(measure_ffmpeg(ffmpeg, file))
                    _check_lengths(name, ours[name][-1], theirs[name][-1])
    return _results(seconds, repeats, ffmpeg, ours, theirs)


def find_ffmpeg() -> str | None:
    """Return an ffmpeg on the path, or that of the package imageio-ffmpeg, or None."""
    if found := shutil.which("ffmpeg"):
        return found
    with suppress(ImportError):
        return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    return None


def ffmpeg_version(ffmpeg: str) -> str:
    """Return the version of an ffmpeg."""
    return subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, check=True).stdout.split()[2]


def measure_service(file: Path) -> Cost:
    """Decode a file with the service's decoder in a new process."""
    command = [sys.executable, "-m", "benchmarks.decode_once", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Cost(**json.loads(done.stdout))


def measure_ffmpeg(ffmpeg: str, file: Path) -> Cost:
    """Decode a file with the ffmpeg command line, into the same samples."""
    one_thread = ["-threads", "1", "-filter_threads", "1"]
    with tempfile.NamedTemporaryFile() as samples:
        command = [ffmpeg, "-v", "error", "-nostdin", "-y", *one_thread, "-i", str(file)]
        command += ["-ac", "1", "-ar", "16000", "-f", "f32le", samples.name]
        process, peak = subprocess.Popen(command), 0
        while True:
            with suppress(OSError):
                # Not the rusage of the process: that begins with the memory of the one that started it.
                peak = max(peak, peak_bytes(process.pid))
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            time.sleep(0.005)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        count = os.stat(samples.name).st_size // 4
    return Cost(usage.ru_utime + usage.ru_stime, count / 16_000, peak)


def _check_lengths(name: str, ours: Cost, theirs: Cost) -> None:
    if abs(ours.audio_s - theirs.audio_s) > _MAX_DIFFERENCE_S:
        raise ValueError(f"{name}: the service found {ours.audio_s:.2f} s, and ffmpeg {theirs.audio_s:.2f} s")


def _results(
    seconds: float,
    repeats: int,
    ffmpeg: str | None,
    ours: Mapping[str, list[Cost]],
    theirs: Mapping[str, list[Cost]],
) -> Results:
    rows: list[list[Cell]] = []
    summary: dict[str, Cell] = {"repeats": repeats, "recording_s": seconds, "aim_ratio": AIM}
    summary["ffmpeg"] = None if ffmpeg is None else ffmpeg_version(ffmpeg)
    for name, costs in ours.items():
        own = [cost.cpu_s_per_hour for cost in costs]
        row: list[Cell] = [name, str(mean_interval(own)), None, None, max(cost.peak_bytes for cost in costs) / 1e6]
        key = name.replace(",", "").replace(" ", "_")
        summary[f"{key}_cpu_s_per_hour"] = mean_interval(own).mean
        if name in theirs:
            other = [cost.cpu_s_per_hour for cost in theirs[name]]
            ratio = ratio_interval(own, other)
            row[2:4] = [str(mean_interval(other)), str(ratio)]
            summary[f"{key}_ratio"] = ratio.mean
        row.append(max(cost.peak_bytes for cost in theirs[name]) / 1e6 if name in theirs else None)
        rows.append(row)
    title = f"Decoding {seconds:g} s of speech to 16 kHz mono, {repeats} repeats"
    return Results(title, COLUMNS, rows, summary)
