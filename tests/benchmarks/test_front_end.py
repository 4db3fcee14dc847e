"""The benchmarks of the front end run, and their figures agree with each other. How fast it is, no test says."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from benchmarks import ceiling, decode, decode_pool, long_audio
from benchmarks.__main__ import load_benchmark, main
from benchmarks.encodings import ENCODINGS, encode_opus_minutes
from benchmarks.livez_probe import probe_livez
from benchmarks.process_tree import cpu_seconds, measure_peak_memory
from benchmarks.recordings import speech_of
from benchmarks.servers import RunningService, free_port, service_process

# Stands for ffmpeg: writes so many seconds of samples into the file that the command names last.
FFMPEG = """#!{python}
import sys
if "-version" in sys.argv:
    print("ffmpeg version 0-test Copyright")
else:
    open(sys.argv[-1], "wb").write(bytes(4 * 16_000 * {seconds}))
"""


def stand_in_ffmpeg(folder: Path, seconds: int) -> str:
    path = folder / "ffmpeg"
    path.write_text(FFMPEG.format(python=sys.executable, seconds=seconds))
    path.chmod(0o755)
    return str(path)


def test_decoding_is_measured_beside_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "find_ffmpeg", lambda: stand_in_ffmpeg(tmp_path, 5))
    monkeypatch.setattr(decode, "ENCODINGS", {name: ENCODINGS[name] for name in ("wav, 16 kHz mono",)})
    results = decode.run(quick=True)
    assert results.summary["ffmpeg"] == "0-test"
    ((name, ours, theirs, ratio, peak, ffmpeg_peak),) = results.rows
    assert name == "wav, 16 kHz mono"
    assert all(isinstance(text, str) and text for text in (ours, theirs, ratio))
    assert float(peak or 0) > 20
    assert float(ffmpeg_peak or 0) > 1
    assert float(results.summary["wav_16_kHz_mono_ratio"] or 0) > 0


def test_a_ffmpeg_that_decodes_something_else_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "find_ffmpeg", lambda: stand_in_ffmpeg(tmp_path, 4))
    monkeypatch.setattr(decode, "ENCODINGS", {name: ENCODINGS[name] for name in ("wav, 16 kHz mono",)})
    with pytest.raises(ValueError, match=r"5\.00 s, and ffmpeg 4\.00 s"):
        decode.run(quick=True)


@pytest.mark.parametrize("name", ENCODINGS)
def test_files_hold_the_speech(name: str, tmp_path: Path) -> None:
    file = tmp_path / "recording"
    file.write_bytes(ENCODINGS[name](speech_of(2.0)))
    cost = decode.measure_service(file)
    assert cost.audio_s == pytest.approx(2.0, abs=0.1)
    assert cost.cpu_s > 0


def test_repeated_packets_are_minutes(tmp_path: Path) -> None:
    file = tmp_path / "recording"
    file.write_bytes(encode_opus_minutes(speech_of(60.0), 2))
    assert decode.measure_service(file).audio_s == pytest.approx(120, abs=0.1)


def test_the_pool_is_measured_beside_threads() -> None:
    results = decode_pool.run(quick=True)
    rates = {str(row[0]): row for row in results.rows}
    assert rates["1 thread"][2] == "1 (1 to 1)"
    assert len(rates) >= 3
    summary = {name: float(value or 0) for name, value in results.summary.items()}
    assert summary["pool_to_threads_ratio"] == pytest.approx(
        summary["pool_clips_per_s"] / summary["threads_clips_per_s"]
    )


@pytest.fixture(scope="module")
def scripted_service() -> Iterator[RunningService]:
    with service_process(ceiling.SETTINGS) as running:
        yield running


def run_on(running: RunningService, name: str, patch: pytest.MonkeyPatch, folder: Path) -> dict[str, Any]:
    """Run a benchmark as the command does, on a service that several tests share. Return its line of JSON."""
    module = load_benchmark(name)
    assert module.SETTINGS == ceiling.SETTINGS  # type: ignore[attr-defined]
    patch.setattr(module, "service_process", lambda _: nullcontext(running))
    assert main([name, "--quick", "--out", str(folder / "line.json")]) == 0
    return dict(json.loads((folder / "line.json").read_text()))


def test_the_front_end_is_measured_on_a_running_service(
    scripted_service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_on(scripted_service, "ceiling", monkeypatch, tmp_path)
    assert len(found["rows"]) == len(ceiling.QUICK_RECORDINGS)
    for _, kilobytes, cpu_ms, per_core, audio_per_core, per_second in found["rows"]:
        assert per_core == pytest.approx(1e3 / cpu_ms)
        assert audio_per_core == pytest.approx(ceiling.QUICK_RECORDINGS[0][0] * per_core)
        assert kilobytes > 10
        assert per_second > 0


def test_livez_is_probed_while_the_service_is_idle_and_while_it_decodes(
    scripted_service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_on(scripted_service, "livez", monkeypatch, tmp_path)
    for _, probes, median, p99, longest in found["rows"]:
        assert probes > 1
        assert 0 < median <= p99 <= longest
    assert found["summary"]["audio_s_per_s"] > 0


def test_long_recordings_are_measured_and_fitted(
    scripted_service: RunningService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_on(scripted_service, "long_audio", monkeypatch, tmp_path)
    assert [row[0] for row in found["rows"]] == list(long_audio.QUICK_MINUTES)
    assert all(row[2] > 0 and row[6] > 50 for row in found["rows"])
    assert found["summary"]["cpu_s_per_audio_hour"] > 0


def test_a_service_that_does_not_answer_has_no_figures() -> None:
    with pytest.raises(RuntimeError, match="did not answer"), probe_livez(free_port()):
        pass


def test_a_line_is_found_and_a_square_is_not_one() -> None:
    minutes = (1, 10, 60, 240)
    assert long_audio.fit_line(minutes, [0.5 + 12 * length / 60 for length in minutes]) == pytest.approx((0.5, 12))
    square = [(length / 60) ** 2 for length in minutes]
    fixed_s, hour_s = long_audio.fit_line(minutes, square)
    assert max(abs(1 - (fixed_s + hour_s * m / 60) / s) for m, s in zip(minutes, square, strict=True)) > 0.3


def test_the_costs_of_children_count() -> None:
    """A process that starts another: its CPU time and its memory are those of both."""
    work = "import time; data = b'x' * 50_000_000\nwhile time.process_time() < 0.3: pass"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}]); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        with measure_peak_memory(process.pid) as peak:
            assert process.stdout is not None
            process.stdout.readline()
        spent = cpu_seconds(process.pid)
        process.communicate(b"\n")
    assert spent > 0.25
    assert peak.tree_bytes > 50e6
    assert cpu_seconds(os.getpid()) > 0
