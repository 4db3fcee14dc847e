"""What the service costs over vLLM's own server, on the same weights and the same engine."""

import asyncio
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

import httpx

from benchmarks import recordings, servers
from benchmarks.intervals import Interval, mean_interval, percentile, ratio_interval
from benchmarks.load import Answer, run_closed_loop, run_open_loop
from benchmarks.machine import describe_machine
from benchmarks.report import Cell, Results
from benchmarks.targets import Failed, ServiceTarget, VllmTarget
from model_repo import registry
from model_repo.assemble import assemble_checkpoint

NAME = "overhead"
THEORY = """
A request for a summary can be sent to vLLM's own server: a chat completion with the recording and the service's prompt
in it. What the service adds is what lies between: it reads the upload, decodes it in a process of its own, looks for
speech, waits its turn, and turns the model's tokens into its events. In exchange callers get every format, long
recordings, limits and errors. This benchmark measures the price.

Two engines at once would take each other's cores, and one after the other would meet different moments of the machine.
So there is one: `vllm serve` (its API server, prefix cache and caches of recordings off) runs once, and the same
process answers

- `vllm`: a chat completion with the recording as input_audio, streamed;
- `vllm again`: the same, measured once more. What differs between the two is noise, and nothing smaller means anything;
- `service`: `POST /v1/audio/summaries` of the service in a process of its own in front of that server, streamed;
- `plugin`: the same route inside that server, as vLLM's endpoint plugin, if it is installed.

In each repeat they are asked one after the other, in an order that rotates. All get the same kind of recording, no two
of them equal, so that no cache answers. Temperature is 0. Every answer has to be of the same length, but the service
has no `ignore_eos`, and would stop an answer that repeats itself. So the engine is told which text to write
(`benchmarks.forced_text`): it computes each token as always, and then another one wins. That prompt tokens and written
tokens are equal is checked for every single answer; if one differs the benchmark fails.

First all clients wait for their answers (a closed loop): that finds how much audio is answered a second at saturation.
The ratio is the service's real-time factor divided by vLLM's; 1 means that the service costs no throughput. On a
machine whose engine computes on the same cores as the front end it is below 1 by the front end's share of the work; on
a GPU the cores are idle otherwise. Then requests arrive at random (Poisson) at 50 % and 80 % of vLLM's own saturation,
and the time to the first piece of text counts from the arrival. What is added to it is the service's time minus vLLM's,
at the median and at the 99th percentile. Intervals are of 95 %, over the repeats (Student's t; ratios and differences
are paired within a repeat). The 99th percentile is over all repeats, and means little below some hundred requests.
"""
MODEL = "speechsum-tiny"
BASELINE, AGAIN, SERVICE, PLUGIN = "vllm", "vllm again", "service", "plugin"
COLUMNS = (
    "asked",
    "audio s/s at saturation",
    "ratio to vllm",
    "TTFT p50 at 50 %, ms",
    "p99",
    "added p50",
    "added p99",
    "TTFT p50 at 80 %, ms",
    "p99",
    "added p50",
    "added p99",
)
LOADS = (0.5, 0.8)


class Target(Protocol):
    """What is measured."""

    async def send(self, recording: bytes) -> Answer:
        """Ask for one summary."""


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        repeats: Number of repeats; at least two.
        seconds: Rough length of one measurement of one target.
        clients: Clients of the closed loop.
        recording_s: Seconds of each recording.
        max_tokens: Tokens of each answer.
    """

    repeats: int
    seconds: float
    clients: int
    recording_s: float = 12.0
    max_tokens: int = 24


QUICK_CPU, FULL_CPU = Plan(2, 4.0, 4), Plan(5, 20.0, 8)
QUICK_GPU, FULL_GPU = Plan(2, 4.0, 32), Plan(5, 20.0, 64)


def run(quick: bool) -> Results:
    """Start vLLM's server and the service, and measure."""
    on_gpu = describe_machine()["gpu"] is not None
    plan = (QUICK_GPU if quick else FULL_GPU) if on_gpu else (QUICK_CPU if quick else FULL_CPU)
    manifest = registry.resolve_model(registry.REGISTRY_ROOT, MODEL)
    with ExitStack() as stack:
        with_plugin = servers.plugin_is_installed()
        environment = {"VLLM_PLUGINS": servers.PLUGIN} if with_plugin else {}
        url = stack.enter_context(
            servers.vllm_server(
                assemble_checkpoint(manifest), manifest, plan.clients, on_gpu=on_gpu, environment=environment
            )
        )
        front = stack.enter_context(
            servers.service(
                {
                    "SPEECHSUM_MODEL": manifest.id,
                    "SPEECHSUM_REMOTE__URLS": url,
                    "SPEECHSUM_ENGINE__MAX_NUM_SEQS": str(plan.clients),
                }
            )
        )
        if with_plugin:
            servers.wait_for_plugin(url, next(recordings.different_recordings(1.0)))
        return asyncio.run(_measure_servers(url, front, manifest.id, plan, with_plugin=with_plugin))


async def _measure_servers(url: str, front: str, model: str, plan: Plan, *, with_plugin: bool) -> Results:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=600, limits=limits) as client:
        vllm = VllmTarget(client, url, model, plan.max_tokens)
        targets: dict[str, Target] = {BASELINE: vllm, AGAIN: vllm}
        targets[SERVICE] = ServiceTarget(client, front, plan.max_tokens)
        if with_plugin:
            targets[PLUGIN] = ServiceTarget(client, url, plan.max_tokens)
        return await measure(targets, plan, recordings.different_recordings(plan.recording_s))


async def measure(targets: Mapping[str, Target], plan: Plan, audio: Iterator[bytes]) -> Results:
    """Measure targets, of which one is called `BASELINE`.

    Args:
        targets: what is asked, by name.
        plan: how much.
        audio: recordings of `plan.recording_s`, no two of which are the same.

    Raises:
        Failed: if an answer has other tokens than the others, so that they were not the same work.
    """
    check = EqualWork(plan.max_tokens)
    for target in targets.values():  # warm-up
        check.check((await run_closed_loop(target.send, audio, plan.clients, plan.clients))[0])
    answers, seconds = await run_closed_loop(targets[BASELINE].send, audio, 2 * plan.clients, plan.clients)
    per_second = check.check(answers) / seconds
    count = max(2 * plan.clients, round(per_second * plan.seconds))
    rates: dict[str, list[float]] = defaultdict(list)
    for name in _rotate_order(list(targets), plan.repeats):
        answers, seconds = await run_closed_loop(targets[name].send, audio, count, plan.clients)
        rates[name].append(check.check(answers) / seconds)
    saturation = statistics.median(rates[BASELINE])
    waits: dict[tuple[str, float], list[list[Answer]]] = defaultdict(list)
    for load in LOADS:
        # As many requests as arrive in the time of one measurement, and never so few that a median says nothing.
        arrivals = max(plan.clients, round(load * saturation * plan.seconds))
        for number, name in enumerate(_rotate_order(list(targets), plan.repeats)):
            seed = number // len(targets)
            answers = await run_open_loop(targets[name].send, audio, arrivals, load * saturation, seed)
            check.check(answers)
            waits[name, load].append(answers)
    return _results(list(targets), plan, rates, waits)


class EqualWork:
    """Checks that all answers had the same prompt tokens and `max_tokens` of their own."""

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._prompt_tokens = 0

    def check(self, answers: Sequence[Answer]) -> int:
        """Return the number of answers. Raises Failed if one of them was other work."""
        for answer in answers:
            self._prompt_tokens = self._prompt_tokens or answer.prompt_tokens
            found, expected = (answer.prompt_tokens, answer.completion_tokens), (self._prompt_tokens, self._max_tokens)
            if found != expected:
                raise Failed(f"an answer had {found} prompt and completion tokens, and the others {expected}")
        return len(answers)


def _rotate_order(names: list[str], repeats: int) -> Iterator[str]:
    """Yield all names once in each repeat, beginning with another one each time."""
    for number in range(repeats):
        start = number % len(names)
        yield from names[start:] + names[:start]


def _results(
    names: list[str],
    plan: Plan,
    rates: Mapping[str, list[float]],
    waits: Mapping[tuple[str, float], list[list[Answer]]],
) -> Results:
    rows: list[list[Cell]] = []
    summary: dict[str, Cell] = {"repeats": plan.repeats, "recording_s": plan.recording_s, "tokens": plan.max_tokens}
    for name in names:
        key = name.replace(" ", "_")
        ratio = None if name == BASELINE else ratio_interval(rates[name], rates[BASELINE])
        row: list[Cell] = [name, str(mean_interval([rate * plan.recording_s for rate in rates[name]]))]
        row.append(None if ratio is None else str(ratio))
        summary[f"{key}_rtfx"] = plan.recording_s * statistics.mean(rates[name])
        _add_interval(summary, f"{key}_ratio", ratio)
        for load in LOADS:
            own, base = (_first_tokens(waits[one, load]) for one in (name, BASELINE))
            medians, base_medians = ([percentile(one, 50) for one in several] for several in (own, base))
            p99, base_p99 = (percentile([value for one in several for value in one], 99) for several in (own, base))
            row += [statistics.mean(medians), p99]
            if name == BASELINE:
                row += [None, None]
                continue
            added = mean_interval([mine - its for mine, its in zip(medians, base_medians, strict=True)])
            row += [str(added), p99 - base_p99]
            percent = round(100 * load)
            _add_interval(summary, f"{key}_added_ttft_p50_ms_at_{percent}", added)
            summary[f"{key}_added_ttft_p99_ms_at_{percent}"] = p99 - base_p99
        rows.append(row)
        if stages := _mean_stages(waits[name, LOADS[0]]):
            summary |= {f"{key}_{stage}_ms_at_50": 1000 * seconds for stage, seconds in stages.items()}
    requests = sum(map(len, waits[BASELINE, LOADS[0]]))
    title = (
        f"{MODEL}, recordings of {plan.recording_s:g} s, {plan.max_tokens} tokens each, {plan.clients} clients, "
        f"{plan.repeats} repeats, {requests} requests for each TTFT at 50 %"
    )
    return Results(title, COLUMNS, rows, summary)


def _first_tokens(repeats: Sequence[Sequence[Answer]]) -> list[list[float]]:
    """Return the times to the first token in milliseconds, by repeat."""
    return [[1000 * answer.first_token_s for answer in answers] for answers in repeats]


def _mean_stages(repeats: Sequence[Sequence[Answer]]) -> dict[str, float]:
    """Return the mean seconds of each stage that the target tells of."""
    by_stage: dict[str, list[float]] = defaultdict(list)
    for answer in (answer for answers in repeats for answer in answers):
        for stage, seconds in answer.timings.items():
            by_stage[stage].append(seconds)
    return {stage: statistics.mean(values) for stage, values in by_stage.items()}


def _add_interval(summary: dict[str, Cell], name: str, interval: Interval | None) -> None:
    if interval is not None:
        summary |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
