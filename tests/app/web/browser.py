"""A browser for the page: Debian's Chromium under Playwright, and a service whose answers have something to show."""

import asyncio
import functools
import io
import wave
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from playwright.async_api import Browser, BrowserContext, Download, Page, async_playwright

from app.core.asr.confidence import Recognition
from app.core.asr.transcript import TranscriptSegment
from app.engine.base import GenerationRequest
from app.engine.model_info import ModelInfo
from app.engine.scripted import ScriptedEngine
from tests.app.running_service import Site, serving

CHROMIUM = "/usr/bin/chromium"
FAKE_MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
PHONE = {"width": 360, "height": 740}
DESK = {"width": 900, "height": 1000}

NOTES = (
    "The planning meeting opens. Maria Lopez reports that the new harbour office costs 4,200 dollars.",
    "The team decides to move on Friday at half past three.",
    "Anna sends the floor plan to everybody, and Tom orders two desks.",
    "Questions about parking stay open until the next meeting.",
)
SUMMARY = (
    "The harbour office costs 4,200 dollars, Maria Lopez reports. The team decides to move on Friday at half past "
    "three. Anna sends the floor plan, and Tom orders two desks. Peter Novak pays $9,900 for the parking questions."
)
UNHEARD = ("Peter Novak", "$9,900")
MARKUP = '<img src=x onerror="document.title=1"><script>document.title=1</script>'
ANSWER = "Anna sends the floor plan to everybody. The parking questions stay open, and Gustav pays."
WINDOW_SECONDS = 10
MODEL = ModelInfo(
    "test-model",
    "3",
    "cascade",
    max_seconds=60.0,
    languages=("en", "de"),
    description="A scripted model for the tests of the page.",
    figures={"core_coverage": 0.6058, "core_coverage_95": [0.4783, 0.7347], "hallucinations_per_summary": 0.79,
             "summaries": 29},
)  # fmt: skip


@functools.cache
def talk(seconds: float = 40.0) -> bytes:
    """A 16 kHz WAV file that looks like speech: noise in syllables and sentences, with pauses."""
    rng = np.random.default_rng(5)
    count = round(seconds * 16_000)
    syllables = np.repeat(rng.uniform(0.15, 1, count // 2400 + 1), 2400)[:count]
    sentences = np.repeat(rng.uniform(0, 1, count // 24_000 + 1) > 0.2, 24_000)[:count]
    samples = rng.normal(0, 0.18, count).clip(-0.9, 0.9) * syllables * (0.03 + 0.97 * sentences)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 16_000, 0, "NONE", ""))
        writer.writeframes((samples * 32_767).astype("<i2").tobytes())
    return file.getvalue()


def note_of(request: GenerationRequest) -> str:
    """Return the note on a window of `talk`, by where it begins or what was heard in it; empty if it is no window."""
    if request.known_transcript is not None:
        return next((note for note in NOTES if note in request.known_transcript.text), "")
    if request.samples is None:
        return ""
    whole = np.frombuffer(talk()[44:], "<i2").astype(np.float32) / 32_768
    start = whole.tobytes().find(request.samples[:64].tobytes()) // 4  # in samples; negative if it is no part
    return NOTES[min(start // (WINDOW_SECONDS * 16_000), len(NOTES) - 1)] if start >= 0 else ""


def write_pieces(request: GenerationRequest) -> Sequence[str]:
    """Return the note on a window of `talk`, an answer to a question, or otherwise the summary."""
    is_question = "-q" in request.request_id or request.request_id.startswith("chatcmpl-")
    text = note_of(request) or (ANSWER if is_question else SUMMARY)
    return [f"{word} " for word in text.split()[:-1]] + [text.split()[-1]]


def hear_segments(request: GenerationRequest) -> Sequence[TranscriptSegment]:
    """Return what the recognizer heard in a window: the sentences of its note, two seconds each."""
    sentences = [sentence for sentence in note_of(request).split(". ") if sentence]
    return [
        TranscriptSegment(2.0 * number, 2.0 * number + 2, f"{sentence.rstrip('.')}.", -0.2, 1.1, 0.01)
        for number, sentence in enumerate(sentences)
    ]


def talk_engine() -> ScriptedEngine:
    """An engine that summarizes `talk`, and heard only what the notes say."""
    recognition = Recognition("en", 0.98, -0.2)
    return ScriptedEngine(write_pieces, transcript=" ".join(NOTES), recognition=recognition, segments=hear_segments)


def find_all(samples: Any, _: Any = None) -> list[tuple[float, float]]:
    """Stands in for the speech detector: everything is speech."""
    return [(0.0, len(samples) / 16_000)]


@asynccontextmanager
async def serving_talks(
    *,
    model: ModelInfo = MODEL,
    window_seconds: int = WINDOW_SECONDS,
    find_speech: Callable[..., list[tuple[float, float]]] = find_all,
    **sections: Any,
) -> AsyncIterator[Site]:
    """Run a service that reads `talk` in windows of ten seconds."""
    long = {"pass_seconds": window_seconds, "window_seconds": window_seconds, "windows_at_once": 1}
    async with serving(talk_engine(), model=model, find_speech=find_speech, long=long, **sections) as site:
        yield site


@asynccontextmanager
async def open_browser(*arguments: str) -> AsyncIterator[Browser]:
    """Start Chromium until the block ends."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(arguments))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visit:
    """A page that is open, and what its browser complained about. `expected` holds parts of complaints that are part
    of a test, such as the status of a request that is refused on purpose.
    """

    page: Page
    context: BrowserContext
    site: Site
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    async def choose(self, audio: bytes | None = None, name: str = "meeting.wav") -> None:
        """Choose a recording, and wait until it is drawn."""
        await self.page.set_input_files(
            "#file", [{"name": name, "mimeType": "audio/wav", "buffer": talk() if audio is None else audio}]
        )
        await self.page.locator("#file-name", has_text=name).wait_for()

    async def summarize(self) -> None:
        """Press the button, and wait until the answer is whole."""
        await self.page.click("#summarize")
        await self.page.locator("#exports").wait_for()

    async def fill_more(self, **texts: str) -> None:
        """Write notes, names or questions, each into the field of its name."""
        if not await self.page.is_visible("#context"):
            await self.page.click("#more summary")
        for name, text in texts.items():
            await self.page.fill(f"#{name}", text)

    async def text(self, selector: str) -> str:
        """Return what a reader sees of an element."""
        return await self.page.inner_text(selector)


@asynccontextmanager
async def visiting(
    browser: Browser, site: Site, *, is_open: bool = True, address: str | None = None, **context: Any
) -> AsyncIterator[Visit]:
    """Open the page in a browser context of its own. It fails if the page has failed or broken its policy.

    is_open: whether the service lets everybody in, so that the page can show its models. address: of a way to the
    service; None goes straight to it.
    """
    opened = await browser.new_context(**{"viewport": DESK, "locale": "en-GB", "timezone_id": "UTC", **context})
    opened.set_default_timeout(20_000)  # a busy machine is slow
    visit = Visit(await opened.new_page(), opened, site)
    visit.page.on("console", lambda message: message.type == "error" and visit.complaints.append(message.text))
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    try:
        await visit.page.goto(f"{address or f'http://127.0.0.1:{site.port}'}/")
        if is_open:
            await visit.page.locator("#model option").first.wait_for(state="attached")
        yield visit
        unexpected = [one for one in visit.complaints if not any(part in one for part in visit.expected)]
        assert unexpected == []
    finally:
        await opened.close()


async def wait_for(visit: Visit, condition: str) -> None:
    """Wait for a condition in JavaScript. Playwright's own way compiles it on the page, which the policy forbids."""
    async with asyncio.timeout(8):
        while not await visit.page.evaluate(condition):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def save(download: Download) -> str:
    """Return the text of a file that the browser was told to save."""
    return await asyncio.to_thread((await download.path()).read_text)


async def find_violations(visit: Visit, axe: str) -> list[str]:
    """Return what axe-core finds wrong on the page as it is."""
    await visit.page.evaluate(axe)
    found = await visit.page.evaluate("axe.run()")
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found["violations"]]
