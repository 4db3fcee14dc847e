"""The clients of a run: what they send, and how they judge what comes back. Each request becomes a ledger's entry.

Knows nothing about faults.
"""

import asyncio
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tools.soak.ledger import NOT_REPLAYED, Entry, Ledger, Outcome
from tools.soak.recordings import Recordings

SUMMARIES = "/v1/audio/summaries"
JOBS = f"{SUMMARIES}/jobs"
SUMMARY = "A scripted summary of what was said."  # what the scripted engine says of every recording
REQUEST_SECONDS = 120.0
BAD_CODES = ("unsupported_audio", "undecodable_audio", "empty_audio", "no_audio_track", "missing_file")
WEIGHTS = {
    "short": 5, "stream": 4, "job": 4, "long": 1, "disconnect": 2, "bad": 1, "quota": 1, "repeat": 1,
    "slow_upload": 1, "slow_reader": 1,
}  # fmt: skip


class WrongAnswer(Exception):
    """An answer that is complete and not right."""


class Traffic:
    """The clients of one service.

    Args:
        key: the API key of most requests. quota_key: one that may send very few.
        hook: the URL that is told when a job has ended.
    """

    def __init__(
        self, address: str, key: str, quota_key: str, hook: str, recordings: Recordings, ledger: Ledger, seed: int
    ) -> None:
        self.ledger, self.recordings, self.hook = ledger, recordings, hook
        self.key, self.quota_key = {"authorization": f"Bearer {key}"}, {"authorization": f"Bearer {quota_key}"}
        self.draw = random.Random(seed)
        self.began = time.monotonic()
        # A connection of its own for each request: one that the service closes between two requests is no loss.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.AsyncClient(base_url=address, timeout=REQUEST_SECONDS, limits=limits, trust_env=False)
        self._kinds: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "short": self.send_short, "stream": self.send_stream, "job": self.send_job, "long": self.send_long,
            "disconnect": self.disconnect, "bad": self.send_bad, "quota": self.exceed_quota, "repeat": self.repeat,
            "slow_upload": self.upload_slowly, "slow_reader": self.read_slowly,
        }  # fmt: skip

    def now(self) -> float:
        """Return the seconds since the run began."""
        return time.monotonic() - self.began

    async def run_client(self, until_s: float) -> None:
        """Send one request after the other until then."""
        while self.now() < until_s:
            kind = self.draw.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            await self._kinds[kind]()
            await asyncio.sleep(self.draw.uniform(0.05, 0.5))

    async def send_short(self) -> None:
        """Ask for a summary."""
        async with self._entry("short") as entry:
            _check_summary(await self._post(entry, self.recordings.short))

    async def send_long(self) -> None:
        """Ask for a summary of a recording that is read in windows."""
        async with self._entry("long") as entry:
            answer = await self._post(entry, self.recordings.long)
            if not answer.get("summary"):
                raise WrongAnswer("there is no summary")

    async def send_bad(self) -> None:
        """Send something that is no recording; it must be refused."""
        name = self.draw.choice(sorted(self.recordings.bad))
        async with self._entry("bad", BAD_CODES) as entry:
            await self._post(entry, self.recordings.bad[name])
            raise WrongAnswer(f"the file {name!r} was taken for a recording")

    async def exceed_quota(self) -> None:
        """Send more requests than a key may."""
        for _ in range(4):
            async with self._entry("quota", ("quota_exceeded",)) as entry:
                await self._post(entry, self.recordings.short, headers=self.quota_key)

    async def send_stream(self, pause_s: float = 0.0, kind: str = "stream") -> None:
        """Ask for a stream; its pieces must be its summary."""
        async with self._entry(kind) as entry, self._open_stream(entry) as response:
            pieces, summary, done = "", None, False
            async for line in response.aiter_lines():
                await asyncio.sleep(pause_s)
                if line == "data: [DONE]":
                    done = True
                elif line.startswith("data: "):
                    event = json.loads(line.removeprefix("data: "))
                    if "error" in event:
                        _note_error(entry, 200, event)
                        return
                    pieces += event.get("delta", "")
                    summary = event.get("summary", summary)
            if not done:  # chunked encoding ended in order, and the stream did not
                raise WrongAnswer("the stream ended without [DONE]")
            if pieces.strip() != SUMMARY or summary != SUMMARY:
                raise WrongAnswer(f"the pieces are {pieces!r}, the summary is {summary!r}")

    async def read_slowly(self) -> None:
        """Read a stream line by line, with pauses."""
        await self.send_stream(0.2, "slow_reader")

    async def disconnect(self) -> None:
        """Leave in the middle of a stream."""
        async with self._entry("disconnect") as entry, self._open_stream(entry) as response:
            async for line in response.aiter_lines():
                if "engine_prefill" in line or '"delta"' in line or self.draw.random() < 0.2:
                    break
            entry.outcome = Outcome.LEFT

    async def upload_slowly(self) -> None:
        """Send a recording in small pieces."""

        async def pieces() -> AsyncIterator[bytes]:
            audio = self.recordings.short
            for start in range(0, len(audio), len(audio) // 8 + 1):
                yield audio[start : start + len(audio) // 8 + 1]
                await asyncio.sleep(0.3)

        async with self._entry("slow_upload") as entry:
            headers = {**self.key, "content-type": "audio/wav"}
            response = await self.http.post(SUMMARIES, content=pieces(), headers=headers)
            _check_summary(_read_answer(entry, response))

    async def repeat(self) -> None:
        """Send a request twice under one key: the second answer must be the first one."""
        headers = {**self.key, "idempotency-key": uuid.uuid4().hex}
        began, first = self.now(), None
        for _ in range(2):
            async with self._entry("repeat") as entry:
                answer = await self._post(entry, self.recordings.short, headers=headers)
                if first is None:
                    first = answer
                elif answer != first:
                    entry.started, entry.outcome, entry.code = began, Outcome.ERROR, NOT_REPLAYED
                    entry.detail = "a repeated request got another answer"

    async def send_job(self) -> None:
        """Queue a recording. A request whose end is not known is sent again under the same key, until it is."""
        key = f"soak-{uuid.uuid4().hex}"
        self.ledger.note_job(key, None)
        form = {"webhook_url": self.hook}
        while self.ledger.jobs[key] is None:
            async with self._entry("job") as entry:
                headers = {**self.key, "idempotency-key": key}
                answer = await self._post(entry, self.recordings.short, JOBS, headers, form)
                self.ledger.note_job(key, str(answer["id"]))
                return
            await asyncio.sleep(0.5)

    async def list_jobs(self) -> dict[str, list[str]]:
        """Return the states of all jobs, by id, as the service lists them."""
        listed: dict[str, list[str]] = {}
        after = ""
        while True:
            response = await self.http.get(f"{JOBS}?limit=100{after}", headers=self.key)
            response.raise_for_status()
            page = response.json()
            for job in page["data"]:
                listed.setdefault(job["id"], []).append(job["state"])
            if not page["has_more"]:
                return listed
            after = f"&after={page['last_id']}"

    async def _post(
        self,
        entry: Entry,
        audio: bytes,
        path: str = SUMMARIES,
        headers: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        files = {"file": ("recording.wav", audio)}
        response = await self.http.post(path, files=files, data=form, headers=headers or self.key)
        return _read_answer(entry, response)

    @asynccontextmanager
    async def _open_stream(self, entry: Entry) -> AsyncIterator[httpx.Response]:
        files = {"file": ("recording.wav", self.recordings.short)}
        async with self.http.stream(
            "POST", SUMMARIES, files=files, data={"stream": "true"}, headers=self.key
        ) as response:
            if response.status_code != 200:
                await response.aread()
                _read_answer(entry, response)
            yield response

    @asynccontextmanager
    async def _entry(self, kind: str, expected: tuple[str, ...] = ()) -> AsyncIterator[Entry]:
        """Open an entry and close it by how the block ends. The block's errors end here."""
        entry = self.ledger.open(kind, self.now(), expected)
        try:
            yield entry
            entry.outcome = entry.outcome or Outcome.ANSWER
        except _TypedError:
            pass
        except httpx.TimeoutException as error:
            entry.outcome, entry.detail = Outcome.WRONG, f"no answer within {REQUEST_SECONDS:.0f} s ({error!r})"
        except httpx.TransportError as error:
            entry.outcome, entry.detail = Outcome.LOST, repr(error)
        except (WrongAnswer, ValueError) as error:
            entry.outcome, entry.detail = Outcome.WRONG, str(error)
        finally:
            entry.ended = self.now()


class _TypedError(Exception):
    """The answer is an error of the service, and the entry says which."""


def _read_answer(entry: Entry, response: httpx.Response) -> dict[str, Any]:
    """Return the answer's JSON; an error is noted, and raises `_TypedError`."""
    entry.status, entry.request_id = response.status_code, response.headers.get("x-request-id", "")
    body: dict[str, Any] = response.json()
    if response.is_success:
        return body
    _note_error(entry, response.status_code, body)
    if response.status_code == 503 and "retry-after" not in response.headers:
        entry.outcome, entry.detail = Outcome.WRONG, f"a 503 ({entry.code}) does not say when to come again"
    raise _TypedError


def _note_error(entry: Entry, status: int, body: dict[str, Any]) -> None:
    error = body["error"]
    entry.outcome, entry.status = Outcome.ERROR, status
    entry.code, entry.detail = str(error["code"]), str(error["message"])


def _check_summary(answer: dict[str, Any]) -> None:
    if answer.get("summary") != SUMMARY:
        raise WrongAnswer(f"the summary is {answer.get('summary')!r}")
