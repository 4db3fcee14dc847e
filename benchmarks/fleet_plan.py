"""How many machines a given amount of audio a month needs, what they cost, and what becomes the bottleneck.

    python -m benchmarks.fleet_plan [--hours-per-month 10e6] [--front-end FILE] [--out FILE]
    python -m benchmarks.fleet_plan --measure-front-end FILE

Theory. Audio arrives at R seconds a second, the hours divided by the 730 hours of a month. A device that answers X
seconds of audio a second (its real-time factor, RTFx) and is kept busy for a share U of the time, because traffic has
peaks and machines fail, is needed R / (X * U) times. This holds for each stage by itself: the front end (decoding and
speech detection, on CPU cores), the ear and the language model. Everything else is proportional to R, too: bytes
fetched, samples between machines, rows written.

Figures are measured (by this repository, with the file that has the raw result), published (by others, for another
model), computed (from a model's size) or assumed (prices, shares). The table says which. The last line is JSON.
"""

import argparse
import asyncio
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.core.audio.decode import decode
from app.core.audio.limits import DecodeLimits
from app.workers.speech_detector import SpeechDetector
from tests.recordings import RATE, encode_audio, speech

MONTH_S = 730 * 3600
ROOT = Path(__file__).resolve().parents[1]
FRONT_END = ROOT / "results" / "front-end-cpu.json"


@dataclass(frozen=True)
class Device:
    """A device of one stage. rtfx: audio seconds a second. dollars: an hour, assumed. origin: of rtfx."""

    stage: str
    name: str
    rtfx: float
    dollars: float
    origin: str


@dataclass(frozen=True)
class Need:
    """What a month needs of a device."""

    device: Device
    count: int
    dollars_per_month: float
    cents_per_audio_hour: float


# Assumed: what is rented by the hour costs about this much without a contract.
CORE_DOLLARS, GPU_DOLLARS = 0.04, 2.5
# A 3-billion-parameter audio language model on an H100, as the function below computes it.
MODEL = {"parameters": 3.6e9, "encoder_parameters": 0.64e9, "audio_tokens_per_s": 12.5, "encoder_frames_per_s": 50.0}
FLOPS, UTILIZATION = 990e12, 0.4  # H100, dense bfloat16; the share that is reached is assumed
WRITTEN_TOKENS_PER_AUDIO_HOUR, WRITTEN_TOKENS_PER_S = 2000.0, 5000.0  # notes and summary; assumed for a full batch
BYTES_PER_AUDIO_S = {"16 kbit/s Opus": 2_000, "128 kbit/s MP3": 16_000, "samples, float32 at 16 kHz": 64_000}


def computed_rtfx() -> float:
    """Return the RTFx of a device whose time goes into matrix products: 2 FLOP a parameter and token.

    Attention is left out, and so is everything that is no matrix product; the share `UTILIZATION` stands for both.
    """
    flop = 2 * MODEL["parameters"] * MODEL["audio_tokens_per_s"]
    flop += 2 * MODEL["encoder_parameters"] * MODEL["encoder_frames_per_s"]
    seconds = flop / (FLOPS * UTILIZATION) + WRITTEN_TOKENS_PER_AUDIO_HOUR / 3600 / WRITTEN_TOKENS_PER_S
    return 1 / seconds


def devices(front_end: dict[str, Any]) -> list[Device]:
    """Return the devices of all stages. front_end: the result of `measure_front_end`."""
    tiny = json.loads((ROOT / "results" / "cascade-tiny-2" / "twenty-recordings.json").read_text())["runs"]["8"]["rtfx"]
    base = json.loads((ROOT / "results" / "cascade-base-1" / "voices.json").read_text())["runs"]["8"]["rtfx"]
    core = front_end["audio_seconds_per_core_second"]
    return [
        Device("front end", "CPU core", core, CORE_DOLLARS, "measured: results/front-end-cpu.json"),
        Device("whole path", "CPU core, cascade-tiny", tiny / 2, CORE_DOLLARS, "measured: results/cascade-tiny-2"),
        Device("whole path", "CPU core, cascade-base", base / 2, CORE_DOLLARS, "measured: results/cascade-base-1"),
        Device("model", "GPU, 3B audio model", 466.0, GPU_DOLLARS, "published: Qwen3-ASR, 64 at once, GPU unnamed"),
        Device("model", "H100, 3B audio model", computed_rtfx(), GPU_DOLLARS, "computed: see `computed_rtfx`"),
    ]


def plan(hours_per_month: float, busy: float, stages: Sequence[Device]) -> list[Need]:
    """Return what each device would be needed for. busy: the share of time in which a device works."""
    rate = hours_per_month * 3600 / MONTH_S
    needs = []
    for device in stages:
        count = -(-rate // (device.rtfx * busy))
        dollars = count * device.dollars * MONTH_S / 3600
        needs.append(Need(device, int(count), round(dollars), round(100 * dollars / hours_per_month, 4)))
    return needs


def measure_front_end() -> dict[str, Any]:
    """Return the CPU seconds that decoding and speech detection take, of ten minutes of MP3, in this process."""
    repetitions = round(600 * RATE / len(speech()))
    short, recording = (encode_audio(np.tile(speech(), times), kind="MP3") for times in (1, repetitions))
    asyncio.run(SpeechDetector(threads=1).detect(decode(short, DecodeLimits()).samples))  # what is loaded at first use
    began = time.process_time()
    audio = decode(recording, DecodeLimits())
    decoded = time.process_time()
    asyncio.run(SpeechDetector(threads=1).detect(audio.samples))
    ended = time.process_time()
    return {
        "command": "python -m benchmarks.fleet_plan --measure-front-end results/front-end-cpu.json",
        "machine": platform.processor() or platform.machine(),
        "audio_seconds": round(audio.seconds, 1),
        "decode_cpu_seconds": round(decoded - began, 3),
        "speech_detection_cpu_seconds": round(ended - decoded, 3),
        "audio_seconds_per_core_second": round(audio.seconds / (ended - began), 1),
    }


def main() -> None:
    """Print the plan, or measure the front end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours-per-month", type=float, default=10e6, help="hours of audio a month")
    parser.add_argument("--busy", type=float, default=0.7, help="share of the time in which a device works (assumed)")
    parser.add_argument("--mean-minutes", type=float, default=30, help="mean length of a recording (assumed)")
    parser.add_argument("--front-end", type=Path, default=FRONT_END, metavar="FILE", help="measured front end")
    parser.add_argument("--measure-front-end", type=Path, metavar="FILE", help="measure it and write it to a file")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON to a file")
    arguments = parser.parse_args()
    if arguments.measure_front_end:
        result = measure_front_end()
        arguments.measure_front_end.write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps(result))
        return
    needs = plan(arguments.hours_per_month, arguments.busy, devices(json.loads(arguments.front_end.read_text())))
    rate = arguments.hours_per_month * 3600 / MONTH_S
    print(f"{arguments.hours_per_month:,.0f} hours a month: {rate:,.0f} seconds of audio a second\n")
    print(f"{'stage':<12}{'device':<26}{'RTFx':>8}{'number':>9}{'$/month':>12}{'cent/hour':>11}  origin of the RTFx")
    for need in needs:
        one = need.device
        print(
            f"{one.stage:<12}{one.name:<26}{one.rtfx:>8,.1f}{need.count:>9,}{need.dollars_per_month:>12,.0f}"
            f"{need.cents_per_audio_hour:>11.3f}  {one.origin}"
        )
    gigabits = {name: round(rate * size * 8 / 1e9, 2) for name, size in BYTES_PER_AUDIO_S.items()}
    rows = arguments.hours_per_month * 60 / arguments.mean_minutes / MONTH_S
    print()
    for name, value in gigabits.items():
        print(f"{name:<38}{value:>8,.2f} Gbit/s")
    print(f"{'rows (recordings answered)':<38}{rows:>8,.2f} a second")
    result = {
        "benchmark": "fleet_plan",
        "hours_per_month": arguments.hours_per_month,
        "busy": arguments.busy,
        "audio_seconds_per_second": round(rate, 1),
        "needs": [asdict(need) for need in needs],
        "gigabits_per_second": gigabits,
        "rows_per_second": round(rows, 3),
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
