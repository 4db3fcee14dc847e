"""A real Prometheus scrapes the running service and finds data for every query of the dashboard."""

import asyncio
import importlib.util
import math
import os
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app import metrics
from app.engine.remote.server import ExpectedModel, RemoteServer
from app.engine.scripted import SCRIPT
from app.settings import RemoteSettings
from tests.app.jobs.webhook_receiver import SECRET, Receiver, receiving
from tests.app.running_service import PATH, Site, serving, until, value, wav
from tests.deploy.dashboard import ROOT, Query, load, queries
from tests.deploy.prometheus import Prometheus, scraping
from tests.deploy.vllm_target import exposed

pytestmark = pytest.mark.asyncio(loop_scope="module")
INTERVAL, PATIENCE_S = "500ms", 25.0
# A folder: the dashboards are drawn into it after the tests, from some more traffic of so many seconds.
PICTURES_VARIABLE, PICTURED_S = "DASHBOARD_PICTURES", 60.0
VARIABLES = {"__rate_interval": "10s", "job": ".*", "instance": ".*"}


async def traffic(site: Site, receiver: Receiver) -> None:
    """One request of every outcome, and a job whose end is told."""
    fields, ended = {"webhook_url": receiver.url}, value("speechsum_jobs_ended_total")
    job = await site.client.post(f"{PATH}/jobs", files={"file": ("recording.wav", wav())}, data=fields)
    assert job.status_code == 202, job.text
    await until(lambda: value("speechsum_jobs_ended_total") > ended, seconds=60)
    assert (await site.post()).json()["finish_reason"] == "stop"
    assert (await site.post(wav(5), stream="true")).status_code == 200
    assert (await site.post(wav(amplitude=0))).json()["finish_reason"] == "no_speech"
    site.engine.pieces, site.engine.finish_reason = (), "not_understood"
    assert (await site.post()).json()["finish_reason"] == "not_understood"
    site.engine.pieces, site.engine.finish_reason = SCRIPT, None
    assert (await site.post(style="poem")).status_code == 400
    site.engine.error = ZeroDivisionError()
    assert (await site.post()).status_code == 500
    site.engine.error, site.engine.piece_s = None, 0.1
    form = {"files": {"file": ("recording.wav", wav())}, "data": {"stream": "true"}}
    async with site.client.stream("POST", PATH, **form) as response:  # type: ignore[arg-type]
        async for _ in response.aiter_lines():
            break
    site.engine.piece_s = 0
    await site.until_idle()


class Answers:
    """What each query gave while the service was at work."""

    def __init__(self, prometheus: Prometheus, port: int) -> None:
        self.prometheus, self.port = prometheus, port
        self.series: dict[Query, list[dict[str, Any]]] = {}

    def ask(self) -> bool:
        """Ask what has not been answered yet; whether all has been."""
        for query in queries():
            if query not in self.series and finite(found := self.prometheus.query(query.substituted(**VARIABLES))):
                self.series[query] = found
        return len(self.series) == len(list(queries()))


def draw(prometheus: Prometheus, began: float, folder: Path) -> None:
    """Draw the dashboards from the time since then."""
    spec = importlib.util.spec_from_file_location("draw_dashboards", ROOT / "deploy/grafana/draw_dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)

    def ask(query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        fields = {"query": query, "start": str(start), "end": str(end), "step": str(step)}
        found: list[dict[str, Any]] = prometheus.get("api/v1/query_range", **fields)["result"]
        return found

    for board in load():
        out = folder / f"{board['uid']}.png"
        drawing.draw_dashboard(board, ask, began, time.time(), VARIABLES["__rate_interval"], out)


def finite(series: list[dict[str, Any]]) -> bool:
    return bool(series) and all(math.isfinite(float(one["value"][1])) for one in series)


@asynccontextmanager
async def vllm_server() -> AsyncIterator[None]:
    """One behind the service, which is not there: its gauges are. The scripted engine has none."""
    tokens: Any = None
    server = RemoteServer("http://127.0.0.1:9", ExpectedModel("speechsum-tiny", "6", 8192), tokens, RemoteSettings())
    server.open()
    yield
    await server.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def answers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Answers]:
    folder: Path = tmp_path_factory.mktemp("prometheus")
    # Stages and models of tests before this one have no rate now.
    for family in (metrics.STAGE_DURATION, metrics.QUEUE_DURATION, metrics.REQUEST_DURATION, metrics.REQUESTS):
        family.clear()
    metrics.TIME_TO_FIRST_TOKEN.clear()
    webhooks = {"secret": SECRET, "private_hosts": ["127.0.0.1"]}
    async with receiving() as receiver, serving(webhooks=webhooks) as site, vllm_server():
        with exposed() as vllm, scraping([f"127.0.0.1:{site.port}", vllm], folder, INTERVAL) as prometheus:
            answers = Answers(prometheus, site.port)
            deadline = asyncio.get_running_loop().time() + PATIENCE_S
            while not await asyncio.to_thread(answers.ask) and asyncio.get_running_loop().time() < deadline:
                await traffic(site, receiver)
                await asyncio.sleep(0.5)
            # once more over whole rounds: the first answers may rest on half of one
            for _ in range(2):
                await traffic(site, receiver)
                await asyncio.sleep(0.7)
            answers.series.clear()
            await asyncio.to_thread(answers.ask)
            yield answers
            if folder_of_pictures := os.environ.get(PICTURES_VARIABLE):
                began = time.time()
                while time.time() < began + PICTURED_S:
                    await traffic(site, receiver)
                    await asyncio.sleep(random.random())
                await asyncio.to_thread(draw, prometheus, began, Path(folder_of_pictures))


@pytest.mark.parametrize("query", list(queries()), ids=lambda query: f"{query.panel} {query.letter}")
async def test_every_query_finds_data(answers: Answers, query: Query) -> None:
    assert query in answers.series, answers.prometheus.query(query.substituted(**VARIABLES))
    for series in answers.series[query]:
        for label in re.findall(r"\{\{(\w+)\}\}", query.legend):
            assert series["metric"].get(label), f"the legend wants {label}, the series has {series['metric']}"


async def test_every_outcome_is_seen(answers: Answers) -> None:
    seen = {series["metric"]["outcome"]: float(series["value"][1]) for series in _panel(answers, "Requests by outcome")}
    assert set(seen) == set(metrics.OUTCOMES)
    assert all(rate > 0 for rate in seen.values()), seen


async def test_the_first_error_of_a_code_is_seen(answers: Answers) -> None:
    # every error of this run is younger than five minutes, and the series began with the first of them
    totals = answers.prometheus.query("sum by (code) (speechsum_errors_total)")
    sent = {series["metric"]["code"]: float(series["value"][1]) for series in totals}
    assert {"invalid_field", "internal_error"} <= set(sent)
    seen = {s["metric"]["code"]: float(s["value"][1]) for s in _panel(answers, "Errors by code, last 5 minutes")}
    assert set(seen) == set(sent)
    assert all(0 <= sent[code] - seen[code] <= 1 for code in sent), (sent, seen)


async def test_every_stage_is_seen(answers: Answers) -> None:
    for panel in ("Latency by stage, p50", "Latency by stage, p95", "Latency by stage, p99"):
        stages = {series["metric"]["stage"] for series in _panel(answers, panel)}
        assert {"receive", "decode", "speech", "queue", "engine_prefill", "engine_decode"} <= stages


async def test_the_figures_are_what_was_sent(answers: Answers) -> None:
    # a round decodes six recordings, one of them silent and most of them 2 s long (in the bucket from 1 to 2.5);
    # of the six that end neither refused nor abandoned one fails
    assert 1 <= _value(answers, "Length of recordings", "A") <= 2.5
    assert 0.1 <= _value(answers, "Recordings without speech", "A") <= 0.3
    assert 0.1 <= _value(answers, "Failing", "A") <= 0.4
    assert _value(answers, "Up", "A") == 1


async def test_the_variables_list_the_service(answers: Answers) -> None:
    # Grafana's label_values(selector, label), with the variables above in place
    for board in load():
        listed = [variable for variable in board["templating"]["list"] if variable["type"] == "query"]
        assert [variable["name"] for variable in listed] == ["job", "instance"]
        for variable, count in zip(listed, (1, 2), strict=True):
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert match is not None
            series = answers.prometheus.query(match[1].replace("$job", "speechsum"))
            assert len({one["metric"][match[2]] for one in series}) == count, variable
    one = f"127.0.0.1:{answers.port}"
    query = next(query for query in queries() if query.panel == "Up")
    assert finite(answers.prometheus.query(query.substituted(**VARIABLES | {"instance": one})))


async def test_a_job_is_seen_to_its_end(answers: Answers) -> None:
    ends = {series["metric"]["state"]: float(series["value"][1]) for series in _panel(answers, "Jobs that end")}
    assert ends["succeeded"] > 0
    assert ends["failed"] == ends["cancelled"] == 0
    attempts = {s["metric"]["outcome"]: float(s["value"][1]) for s in _panel(answers, "Attempts by outcome")}
    assert attempts["delivered"] > 0


async def test_every_rule_is_evaluated(answers: Answers) -> None:
    def health() -> dict[str, str]:
        groups = answers.prometheus.get("api/v1/rules")["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    await until(lambda: "unknown" not in health().values(), health)
    assert set(health().values()) == {"ok"}, health()


def _panel(answers: Answers, title: str) -> list[dict[str, Any]]:
    return [series for query, found in answers.series.items() if query.panel == title for series in found]


def _value(answers: Answers, panel: str, letter: str) -> float:
    (value,) = (
        float(series["value"][1])
        for query, found in answers.series.items()
        if (query.panel, query.letter) == (panel, letter)
        for series in found
    )
    return value
