"""What a person does on the page, in a real browser: every path through it, by mouse, by keyboard and on a phone."""

import asyncio
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.async_api import Browser, Dialog, FileChooser, Route

from app.core.asr.transcript import TranscriptSegment
from app.core.errors import Unavailable
from tests.app.running_service import Site, until
from tests.app.web.browser import (
    MARKUP,
    NOTES,
    PHONE,
    SUMMARY,
    Visit,
    find_violations,
    save,
    serving_talks,
    talk,
    visiting,
    wait_for,
)
from tests.docs.blocks import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
KEY = "a-key-for-the-tests"
# With this the screenshots of the documentation are written again.
WRITE_SCREENSHOTS = bool(os.environ.get("WRITE_SCREENSHOTS"))


async def test_the_summary_streams_in_with_its_stages(visit: Visit) -> None:
    visit.site.engine.piece_s = 0.06
    await visit.page.evaluate(
        """() => {
            window.seen = {stages: new Set(), shares: new Set(), texts: []};
            const look = () => {
                seen.stages.add(document.getElementById("status").textContent);
                const bar = document.getElementById("progress");
                if (bar.hasAttribute("value")) seen.shares.add(bar.value);
                seen.texts.push(document.getElementById("summary").textContent);
            };
            new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
        }"""
    )
    await visit.choose()
    await visit.summarize()
    seen = await visit.page.evaluate("({stages: [...seen.stages], shares: [...seen.shares], texts: seen.texts})")
    assert any(stage.startswith("Taking notes on the parts of the recording: ") for stage in seen["stages"])
    assert {"Writing the summary.", "Done."} <= set(seen["stages"])
    assert len([share for share in seen["shares"] if 0 < share < 1]) >= 3
    grown = {text for text in seen["texts"] if text and SUMMARY.startswith(text.rstrip())}
    assert len(grown) > 10, "the text came in one piece"
    # A screen reader is told whole sentences, each once, and in the end everything.
    told = await visit.page.locator("#announcer p").all_text_contents()
    assert len(told) > 1
    assert " ".join(told) == SUMMARY


async def test_every_wish_reaches_the_service(visit: Visit) -> None:
    await visit.choose()
    await visit.page.select_option("#style", "bullets")
    wishes = {"length": "about 60 words", "language": "de-CH", "focus": "the office", "instructions": "Write kindly."}
    for name, value in wishes.items():
        await visit.page.fill(f"#{name}", value)
    async with visit.page.expect_download() as download:
        await visit.summarize()
        await visit.page.click("#save-json")
    style = json.loads(await save(await download.value))["style"]
    assert {name: style[name] for name in wishes} == {**wishes, "length": "60"}
    assert style["style"] == "bullets"
    assert await visit.page.get_attribute("#summary", "lang") == "de-CH"


async def test_cancel_ends_the_work_in_the_service(visit: Visit) -> None:
    visit.site.engine.prefill_s = 30
    await visit.choose()
    await visit.page.click("#summarize")
    await until(lambda: visit.site.engine.running_requests > 0)
    assert await visit.page.evaluate("document.activeElement.id") == "cancel"
    await visit.page.keyboard.press("Enter")
    await visit.page.locator("#status", has_text="Cancelled.").wait_for()
    await visit.site.until_idle()
    assert visit.site.engine.aborted > 0
    assert not await visit.page.is_visible("#result")
    assert await visit.page.evaluate("document.activeElement.id") == "summarize"


async def test_a_sentence_is_heard_where_it_comes_from(visit: Visit) -> None:
    await visit.choose()
    await visit.summarize()
    answer = (await visit.site.post(talk())).json()
    moved = next(one for one in answer["citations"] if "Friday" in one["text"])
    window = answer["windows"][moved["windows"][0] - 1]
    assert window["start"] > 5
    await visit.page.locator(".sentence.cited", has_text="Friday").click()
    await wait_for(visit, "player.currentTime > 0")
    assert await visit.page.evaluate("player.currentTime") == pytest.approx(window["start"], abs=1.5)
    assert not await visit.page.evaluate("player.paused")
    assert (await visit.text("#status")).startswith("Playing 0:")
    assert await visit.page.locator(".sentence.chosen").all_text_contents() == [moved["text"]]
    # It stops where the window ends.
    await visit.page.evaluate(f"player.currentTime = {window['end'] - 0.3}")
    await wait_for(visit, "player.paused")
    assert await visit.page.evaluate("player.currentTime") == pytest.approx(window["end"], abs=1)


async def test_the_waveform_shows_where_somebody_speaks(browser: Browser) -> None:
    pixel = """share => {
        const canvas = document.getElementById("waveform");
        const x = Math.round(share * canvas.width);
        return [...canvas.getContext("2d").getImageData(x, canvas.height - 2, 1, 1).data];
    }"""
    spans = [(1.0, 8.0), (8.2, 12.0), (30.0, 36.0)]
    async with serving_talks(find_speech=lambda *_: spans) as site, visiting(browser, site) as visit:
        await visit.choose()
        await visit.summarize()
        answer = (await site.post(talk())).json()
        assert answer["audio"]["speech"] == [{"start": 1.0, "end": 12.0}, {"start": 30.0, "end": 36.0}]
        accent = await visit.page.evaluate("getComputedStyle(waveform).getPropertyValue('--accent')")
        colours = [await visit.page.evaluate(pixel, second / 40) for second in (6, 20, 33)]
        speech, silence, speech_again = ("#" + "".join(f"{value:02x}" for value in one[:3]) for one in colours)
        assert speech == speech_again == accent
        assert silence != accent
        label = await visit.page.get_attribute("#waveform", "aria-label")
        assert label == "The recording over time. Speech from 0:01 to 0:12, 0:30 to 0:36."


async def test_the_parts_of_the_recording_are_listed_with_their_notes(visit: Visit) -> None:
    await visit.choose()
    await visit.summarize()
    await visit.page.click("#windows summary")
    items = await visit.page.locator("#windows li").all_text_contents()
    assert len(items) > 3
    assert all(any(note in item for note in NOTES) for item in items)
    await visit.page.locator("#windows button").nth(1).click()
    await visit.page.locator("#status", has_text="Playing").wait_for()


async def test_text_is_never_taken_for_markup(browser: Browser, talks: Site) -> None:
    talks.decoder.warnings = [f"A warning {MARKUP}"]
    talks.engine.pieces = lambda request: [f"Said was {MARKUP}. ", "Anna sends the plan."]
    talks.engine.segments = [TranscriptSegment(0.0, 2.0, f"Heard was {MARKUP}", -0.2, 1.1, 0.01)]
    template = {"name": "hostile", "description": f"A template {MARKUP}", "instruction": "Write."}
    assert (await talks.client.post("/v1/templates", json=template)).status_code == 201
    async with visiting(browser, talks) as visit:
        dialogs: list[Dialog] = []
        visit.page.on("dialog", lambda dialog: dialogs.append(dialog))
        await visit.choose(name=f"{MARKUP.replace('/', '_')}.wav")
        await visit.page.select_option("#template", "hostile")
        assert MARKUP in await visit.text("#template-facts")
        await visit.fill_more(context=MARKUP, vocabulary=MARKUP[:60], questions=f"What is {MARKUP}?")
        await visit.summarize()
        assert MARKUP in await visit.text("#answers dt")
        assert MARKUP in await visit.text("#answers dd")
        await visit.page.click("#transcript summary")
        assert MARKUP in await visit.text("#transcript")
        assert MARKUP in await visit.text("#summary")
        assert MARKUP in await visit.text("#warnings")
        await visit.page.click("#windows summary")
        assert MARKUP in await visit.text("#windows")
        assert "<img src=x" in await visit.text("#file-name")
        await visit.page.click("#queue")
        await visit.page.locator("#jobs button", has_text="Open").click()
        talks.decoder.error = Unavailable(f"An error {MARKUP}", code="test")
        visit.expected.append("503")
        await visit.page.click("#summarize")
        await visit.page.locator("#error", has_text=MARKUP).wait_for()
        assert await visit.page.title() == "speechsum"
        assert await visit.page.locator("main img, main script").count() == 0
        assert dialogs == []


async def test_errors_are_told_in_plain_words_with_those_of_the_service(visit: Visit) -> None:
    await visit.page.click("#summarize")
    assert "Choose or record a recording first." in await visit.text("#error")
    assert await visit.page.evaluate("document.activeElement.id") == "file"
    await visit.choose(b"this is no recording", "letter.txt")
    await visit.page.locator("#waveform-note", has_text="cannot play").wait_for()
    visit.expected.append("415")
    await visit.page.click("#summarize")
    await visit.page.locator("#error", has_text="cannot read this file as a recording. The service says: ").wait_for()
    # A file that looks like a recording until it is decoded fails inside the stream.
    await visit.choose(talk()[:12] + b"junk\x04\x00\x00\x00junk", "damaged.wav")
    await visit.page.click("#summarize")
    await visit.page.locator("#error", has_text="damaged and cannot be read. The service says: This is no").wait_for()
    # The next try is not hindered by it.
    await visit.choose()
    await visit.summarize()
    assert not await visit.page.is_visible("#error")
    # A field that the service refuses.
    visit.expected.append("400")
    await visit.page.fill("#language", "not a language")
    await visit.page.click("#summarize")
    await visit.page.locator("#error", has_text="BCP 47").wait_for()


async def test_an_engine_that_fails_in_the_middle_is_told(visit: Visit) -> None:
    visit.site.engine.error = Unavailable("The engine lost its footing.", code="test")
    await visit.choose()
    await visit.page.click("#summarize")
    await visit.page.locator("#error", has_text="The engine lost its footing.").wait_for()


async def test_a_key_is_asked_for_and_kept_by_this_tab_alone(browser: Browser) -> None:
    async with serving_talks(auth={"keys": [KEY]}) as site, visiting(browser, site, is_open=False) as visit:
        visit.expected.append("401")
        await visit.page.locator("#error", has_text="needs an API key").wait_for()
        assert await visit.page.evaluate("document.activeElement.id") == "key"
        await visit.page.fill("#key", "wrong")
        await visit.page.keyboard.press("Enter")
        await visit.page.locator("#error", has_text="does not accept this API key").wait_for()
        await visit.page.fill("#key", KEY)
        await visit.page.keyboard.press("Enter")
        await visit.page.locator("#model option").first.wait_for(state="attached")
        assert not await visit.page.is_visible("#error")
        await visit.choose()
        await visit.summarize()
        kept = await visit.page.evaluate(
            "[location.href, document.cookie, JSON.stringify(localStorage), document.documentElement.outerHTML]"
        )
        assert not [one for one in kept if KEY in one]
        assert KEY in await visit.page.evaluate("JSON.stringify(sessionStorage)")
        await visit.page.reload()
        await visit.page.locator("#model option").first.wait_for(state="attached")
        other_tab = await visit.context.new_page()
        await other_tab.goto(visit.page.url)
        await other_tab.locator("#error", has_text="needs an API key").wait_for()
        await visit.page.click("#forget")
        await visit.page.locator("#error", has_text="needs an API key").wait_for()
        assert KEY not in await visit.page.evaluate("JSON.stringify(sessionStorage)")


async def test_jobs_of_a_key_are_listed_followed_opened_and_deleted(browser: Browser) -> None:
    async with serving_talks(auth={"keys": [KEY]}) as site, visiting(browser, site, is_open=False) as visit:
        visit.expected.append("401")
        await visit.page.fill("#key", KEY)
        await visit.page.keyboard.press("Enter")
        await visit.page.locator("#jobs-note", has_text="no jobs of this key").wait_for()
        # One was sent by another program.
        headers = {"authorization": f"Bearer {KEY}"}
        path = "/v1/audio/summaries/jobs"
        await site.client.post(path, files={"file": talk()}, headers=headers)
        await visit.choose(name="board.wav")
        site.decoder.delay_s = 0.7
        await visit.page.click("#queue")
        row = visit.page.locator("#jobs li", has_text="board.wav")
        await row.locator("button", has_text="Open").click()
        await visit.page.locator("#result").wait_for()
        assert await visit.page.evaluate("document.activeElement.id") == "result-heading"
        await visit.page.locator(".sentence.cited", has_text="Friday").click()
        await visit.page.locator("#status", has_text="Playing").wait_for()
        # After the page was loaded again, the service still has both, and the recording is gone.
        await visit.page.reload()
        await visit.page.locator("#jobs li").nth(1).wait_for()
        assert await visit.page.locator("#jobs li").count() == 2
        await row.locator("button", has_text="Open").click()
        await visit.page.locator(".sentence.cited", has_text="Friday").click()
        await visit.page.locator("#status", has_text="The recording is not open here.").wait_for()
        await row.locator("button", has_text="Delete").click()
        await row.wait_for(state="detached")
        assert len((await site.client.get(path, headers=headers)).json()["data"]) == 1


async def test_a_job_without_a_key_is_cancelled_and_found_again(visit: Visit) -> None:
    visit.site.decoder.delay_s = 30
    await visit.choose(name="board.wav")
    await visit.page.click("#queue")
    await visit.page.locator("#jobs li", has_text="being worked on").wait_for()
    await visit.page.reload()
    await visit.page.locator("#jobs button", has_text="Cancel").click()
    await visit.page.locator("#jobs li", has_text="board.wav").locator("text=cancelled").wait_for()
    await visit.site.until_idle()


async def test_a_job_is_sent_once_although_its_answer_was_lost(visit: Visit) -> None:
    visit.expected.append("ERR_FAILED")
    lost: list[int] = []

    async def lose_answer(route: Route) -> None:
        lost.append((await route.fetch()).status)
        await route.abort()

    await visit.choose()
    await visit.page.route("**/jobs", lose_answer, times=1)
    await visit.page.click("#queue")
    await visit.page.locator("#error", has_text="connection to the service was lost").wait_for()
    assert lost == [202]
    await visit.page.click("#queue")
    await visit.page.locator("#jobs li").wait_for()
    store = visit.site.jobs.store
    assert len(await store.page("", None, None, 10)) == 1


async def test_the_page_notices_a_lost_connection_and_its_return(visit: Visit) -> None:
    visit.expected.append("ERR_INTERNET_DISCONNECTED")
    await visit.choose()
    await visit.context.set_offline(True)
    await visit.page.locator("#connection", has_text="You are offline.").wait_for()
    await visit.page.click("#summarize")
    await visit.page.locator("#error", has_text="connection to the service was lost").wait_for()
    await visit.context.set_offline(False)
    await visit.page.locator("#connection").wait_for(state="hidden")
    await visit.summarize()
    assert not await visit.page.is_visible("#error")


async def test_a_recording_is_dropped_on_the_page(visit: Visit) -> None:
    await visit.page.evaluate(
        """(bytes) => {
            const dropped = new DataTransfer();
            dropped.items.add(new File([new Uint8Array(bytes)], "dropped.wav", {type: "audio/wav"}));
            for (const kind of ["dragover", "drop"]) {
                const options = {dataTransfer: dropped, bubbles: true, cancelable: true};
                document.body.dispatchEvent(new DragEvent(kind, options));
            }
        }""",
        list(talk(2)),
    )
    assert "dropped.wav" in await visit.text("#file-name")
    await visit.summarize()


async def test_the_microphone_is_asked_for_on_a_click_and_released(browser: Browser) -> None:
    """The recording is what Chromium's fake microphone plays, beeps; the service decodes it and hears no speech."""
    async with serving_talks(real_audio=True) as site, visiting(browser, site) as visit:
        await visit.page.evaluate(
            """() => {
                window.streams = [];
                const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
                navigator.mediaDevices.getUserMedia = async (wanted) => {
                    const stream = await ask(wanted);
                    streams.push(stream);
                    return stream;
                };
            }"""
        )
        assert await visit.page.evaluate("streams.length") == 0
        await visit.page.click("#record")
        await visit.page.locator("#record", has_text="0:02").wait_for()
        await visit.page.click("#record")
        await visit.page.locator("#file-name", has_text="recording.webm").wait_for()
        assert await visit.page.evaluate("streams[0].getTracks().map((track) => track.readyState)") == ["ended"]
        await visit.page.click("#summarize")
        await visit.page.locator("#status", has_text="Done.").wait_for()
        assert "Nobody speaks in this recording" in await visit.text("#ending")
        assert not await visit.page.is_visible("#exports")


async def test_a_refused_microphone_is_told(browser: Browser, talks: Site) -> None:
    async with visiting(browser, talks) as visit:
        await visit.page.evaluate(
            """() => {
                navigator.mediaDevices.getUserMedia = () =>
                    Promise.reject(new DOMException("Permission denied", "NotAllowedError"));
            }"""
        )
        await visit.page.click("#record")
        await visit.page.locator("#record-note", has_text="Permission denied").wait_for()
        assert await visit.page.is_enabled("#record")


async def test_a_long_recording_is_not_decoded_in_the_browser(visit: Visit, tmp_path: Path) -> None:
    rate, seconds = 8000, 1300
    header = b"RIFF" + (36 + rate * seconds).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    header += np.array([1, 1], "<u2").tobytes() + np.array([rate, rate], "<u4").tobytes()
    header += np.array([1, 8], "<u2").tobytes() + b"data" + (rate * seconds).to_bytes(4, "little")
    (tmp_path / "long.wav").write_bytes(header + b"\x80" * rate * seconds)
    await visit.page.set_input_files("#file", tmp_path / "long.wav")
    await visit.page.locator("#waveform-note", has_text="too long to be drawn").wait_for()
    assert await visit.page.is_visible("#player")


async def test_the_summary_is_copied_and_saved(visit: Visit) -> None:
    await visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await visit.choose(name="the <meeting>.wav")
    await visit.summarize()
    await visit.page.click("#copy")
    await visit.page.locator("#status", has_text="copied").wait_for()
    assert await visit.page.evaluate("navigator.clipboard.readText()") == SUMMARY
    saved = {}
    for button in ("save-text", "save-markdown", "save-json"):
        async with visit.page.expect_download() as download:
            await visit.page.click(f"#{button}")
        file = await download.value
        saved[file.suggested_filename] = await save(file)
    assert sorted(saved) == [f"the _meeting_-summary.{kind}" for kind in ("json", "md", "txt")]
    assert saved["the _meeting_-summary.txt"] == f"{SUMMARY}\n"
    markdown = saved["the _meeting_-summary.md"]
    assert markdown.startswith("# Summary of the \\<meeting\\>.wav\n")
    assert all(part in markdown for part in (SUMMARY, "## What you should know", "## Where it comes from", "0:1"))
    assert json.loads(saved["the _meeting_-summary.json"])["summary"] == SUMMARY


async def test_which_model_answers_and_how_good_it_is(visit: Visit) -> None:
    assert await visit.page.locator("#model option").all_text_contents() == ["test-model@3 (the service's own choice)"]
    facts = await visit.text("#model-facts")
    assert "61% (48%–73%) of the core facts, 0.79 inventions a summary, in 29 recordings" in facts  # noqa: RUF001


async def test_everything_is_done_by_the_keyboard(visit: Visit) -> None:
    order: list[str] = []
    page = visit.page
    # From the beginning: until the browser knows that it is watched, it opens a dialog that nothing closes.
    choosers: asyncio.Queue[FileChooser] = asyncio.Queue()
    page.on("filechooser", lambda chooser: choosers.put_nowait(chooser))

    async def tab_to(id_: str) -> None:
        for _ in range(30):
            await page.keyboard.press("Tab")
            order.append(await page.evaluate("document.activeElement.id || document.activeElement.className"))
            if order[-1] == id_:
                return
        raise AssertionError(f"{id_} is not reached: {order}")

    await tab_to("file")
    await page.keyboard.press("Enter")
    async with asyncio.timeout(20):
        chooser = await choosers.get()
    await chooser.set_files([{"name": "talk.wav", "mimeType": "audio/wav", "buffer": talk()}])
    await tab_to("focus")
    assert [one for one in order if one in ("style", "length", "language", "focus")] == [
        "style",
        "length",
        "language",
        "focus",
    ]
    await page.keyboard.type("the office")
    await page.keyboard.press("Enter")
    await page.locator("#exports").wait_for()
    assert await page.evaluate("document.activeElement.id") == "summarize"
    await tab_to("source")
    await page.keyboard.press("Enter")
    await page.locator("#status", has_text="Playing").wait_for()
    await tab_to("copy")
    # What has the focus can be seen.
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", ["desk", "phone"])
async def test_nothing_is_inaccessible(browser: Browser, axe: str, scheme: str, width: str) -> None:
    context = {"color_scheme": scheme, **({"viewport": PHONE} if width == "phone" else {})}
    async with serving_talks(recordings={"seconds": 300}) as site, visiting(browser, site, **context) as visit:
        await visit.page.click("#more summary")
        assert await find_violations(visit, axe) == []
        await visit.page.select_option("#template", "voicemail")
        await visit.fill_more(context="Peter Novak pays.", vocabulary="Kubernetes", questions="Who pays?")
        await visit.page.check("#keep")
        await visit.choose(name="a-recording-whose-name-is-long-enough-for-a-phone-and-has-no-space.wav")
        await visit.page.click("#queue")
        await visit.page.locator("#jobs button", has_text="Open").wait_for()
        await visit.summarize()
        await visit.page.locator(".sentence.cited").first.click()
        await visit.page.click("#windows summary")
        await visit.page.click("#transcript summary")
        await visit.page.fill("#question", "Who sends it?")
        await visit.page.click("#ask")
        await visit.page.locator("#answers dd").nth(1).wait_for()
        await visit.page.locator("#status", has_text="Answered.").wait_for()
        assert await find_violations(visit, axe) == []
        visit.expected.append("400")
        await visit.page.fill("#language", "not a language")
        await visit.page.click("#summarize")
        await visit.page.locator("#error").wait_for()
        assert await find_violations(visit, axe) == []
        assert await visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"


async def test_a_request_under_way_is_accessible_too(visit: Visit, axe: str) -> None:
    visit.site.engine.prefill_s = 30
    await visit.choose()
    await visit.page.click("#summarize")
    await until(lambda: visit.site.engine.running_requests > 0)
    assert await find_violations(visit, axe) == []
    await visit.page.click("#cancel")
    await visit.site.until_idle()


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("page", {}),
        ("page-dark", {"color_scheme": "dark"}),
        ("page-phone", {"viewport": PHONE}),
        ("page-wishes", {"viewport": {"width": 700, "height": 1000}}),
    ],
)
async def test_the_screenshots_of_the_documentation(
    browser: Browser, tmp_path: Path, name: str, context: dict[str, object]
) -> None:
    async with serving_talks(recordings={"seconds": 900}) as site, visiting(browser, site, **context) as visit:
        await visit.choose()
        await visit.page.select_option("#template", "meeting_minutes")
        await visit.fill_more(context="Agenda: the new office. Peter Novak presents the parking plan.")
        await visit.fill_more(vocabulary="Maria Lopez, Anna", questions="Who sends the floor plan?")
        await visit.page.check("#keep")
        if name != "page-wishes":
            await visit.page.click("#more summary")
        await visit.summarize()
        if name == "page":
            await visit.page.click("#transcript summary")
        await visit.page.locator(".sentence.cited", has_text="Friday").click()
        await visit.page.evaluate("player.pause()")
        await visit.page.mouse.move(0, 0)
        await asyncio.sleep(0.3)  # the colours change slowly
        region = await visit.page.evaluate(
            """(isPart) => {
                const part = document.getElementById(isPart ? "wishes" : "result").closest("section");
                const bottom = part.offsetTop + part.offsetHeight + 16;
                const top = isPart ? part.offsetTop - 16 : 0;
                return {x: 0, y: top, width: document.documentElement.clientWidth, height: bottom - top};
            }""",
            name == "page-wishes",
        )
        shot = await visit.page.screenshot(full_page=True, clip=region)
        folder = ROOT / "docs/assets" if WRITE_SCREENSHOTS else tmp_path
        # Few colours make a small file.
        Image.open(io.BytesIO(shot)).convert("RGB").quantize(64).save(folder / f"{name}.png", optimize=True)
        assert 10_000 < (folder / f"{name}.png").stat().st_size < 150_000
        assert (ROOT / f"docs/assets/{name}.png").exists()
