"""Two of the registry's models in one service's vLLM: one is switched for the other under load, then both answer.

Two engines at once, some 8 GB: run it where nothing else wants cores and memory.
"""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from model_repo import registry
from tests.test_end_to_end import CLIPS, Served

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(1800)]

HEARS, READS = (
    registry.resolve_model(registry.REGISTRY_ROOT, "speechsum-tiny").id,
    registry.resolve_model(registry.REGISTRY_ROOT, "cascade-tiny").id,
)
ADMIN = {"authorization": "Bearer root-key"}
CLIENTS = 4
LOADS_S = 900


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPEECHSUM_AUTH__ADMIN_KEYS", "root-key")
        patch.setenv("SPEECHSUM_MODEL", HEARS)
        service = Served(tmp_path_factory.mktemp("served") / "log.txt")
    yield service
    service.stop()


def admin(served: Served, method: str, path: str = "", **body: Any) -> Any:
    answer = served.http.request(method, f"/v1/admin/models{path}", headers=ADMIN, json=body or None)
    assert answer.is_success, answer.text
    return answer.json()


def until(served: Served, id_: str, state: str) -> None:
    deadline = time.monotonic() + LOADS_S
    while (card := {one["id"]: one for one in admin(served, "GET")["data"]}[id_])["state"] != state:
        assert card["state"] != "failed", card
        assert time.monotonic() < deadline, card
        time.sleep(1)


def cores(served: Served) -> int:
    """vLLM's engine processes of this service."""
    names = [Path(f"/proc/{pid}/cmdline") for pid in served.children()]
    return sum(name.exists() and b"EngineCore" in name.read_bytes() for name in names)


def test_a_switch_under_load_fails_nobody(served: Served) -> None:
    before = served.summarize(CLIPS[0].read_bytes()).json()
    assert before["model"] == HEARS
    assert cores(served) == 1
    over = Event()

    def ask(number: int) -> list[tuple[int, str]]:
        got = []
        with httpx.Client(base_url=served.http.base_url, timeout=600) as client:
            while not over.is_set():
                audio = CLIPS[number % len(CLIPS)].read_bytes()
                answer = client.post("/v1/audio/summaries", files={"file": audio}, data={"max_tokens": "24"})
                got.append((answer.status_code, answer.json().get("model", answer.text)))
        return got

    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(ask, number) for number in range(CLIENTS)]
        try:
            admin(served, "POST", model="cascade-tiny", replace=HEARS)
            until(served, READS, "ready")
            until(served, HEARS, "unloaded")
            time.sleep(5)
        finally:
            over.set()
        got = [one.result() for one in asking]
    counts = Counter(one for some in got for one in some)
    print(f"answers during the switch: {dict(counts)}")
    assert {status for status, _ in counts} == {200}
    assert {model for _, model in counts} == {HEARS, READS}
    for some in got:
        models = [model for _, model in some]
        assert models == sorted(models, key=[HEARS, READS].index), "never back to the old one"
    assert cores(served) == 1, "the old one's process has ended"


def test_both_answer_side_by_side_as_each_does_alone(served: Served) -> None:
    audio = CLIPS[1].read_bytes()
    reads = served.summarize(audio, model=READS).json()
    admin(served, "POST", model=HEARS, weight=0)
    until(served, HEARS, "ready")
    hears = served.summarize(audio, model=HEARS).json()
    assert (hears["model"], hears["kind"], reads["model"], reads["kind"]) == (HEARS, "audio-llm", READS, "cascade")
    with ThreadPoolExecutor(4) as pool:
        among = list(pool.map(lambda model: served.summarize(audio, model=model).json(), [HEARS, READS] * 2))
    assert [one["summary"] for one in among] == [hears["summary"], reads["summary"]] * 2
    assert served.summarize(audio).json()["model"] == READS
    text = served.http.get("/metrics").text
    assert all(f'vllm:num_requests_running{{engine="0",model_name="{id_}"}}' in text for id_ in (HEARS, READS))


def test_a_core_that_dies_takes_only_its_own_model_with_it_and_is_started_again(served: Served) -> None:
    found = subprocess.run(["ps", "-eo", "pid,pgid,lstart,args"], capture_output=True, text=True, check=True).stdout
    mine = [line.split() for line in found.splitlines() if f" {served.process.pid} " in line and "EngineCore" in line]
    assert len(mine) == 2
    youngest = max(int(row[0]) for row in mine)  # the one that was loaded last
    subprocess.run(["kill", "-9", str(youngest)], check=True)
    audio = CLIPS[2].read_bytes()
    deadline = time.monotonic() + 60
    while served.summarize(audio, model=HEARS).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.5)
    lost = served.summarize(audio, model=HEARS)
    assert lost.json()["error"]["code"] in ("engine_dead", "not_ready")
    assert int(lost.headers["retry-after"]) > 0
    assert served.summarize(audio).json()["model"] == READS
    assert served.http.get("/livez").status_code == 200
    until(served, HEARS, "ready")
    assert served.summarize(audio, model=HEARS).json()["model"] == HEARS
    assert cores(served) == 2
