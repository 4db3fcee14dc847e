"""What goes wrong, or takes long, for a person with a phone: the network is cut, and a talk has 40 minutes.

Each is done in a real browser, as wide as a phone.
"""

import asyncio
import os
import pty
import re
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.app.running_service import Site, until
from tests.app.web.browser import PHONE, SUMMARY, open_browser, serving_talks, talk, visiting
from tests.checks.cut_connections import cut_way
from tests.docs.blocks import ROOT
from tests.recordings import write_dialogue

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
LOST = "connection to the service was lost"
DIALOGUE_MINUTES = 40
LARGE_BYTES = 20_000_000  # more than the system takes from the browser before anybody reads it


async def test_an_upload_that_is_cut_is_told_and_can_be_sent_again(
    browser: Browser, talks: Site, tmp_path: Path
) -> None:
    large = tmp_path / "large.wav"
    large.write_bytes(talk() + bytes(LARGE_BYTES))
    with cut_way(talks.port) as way:
        async with visiting(browser, talks, address=way.address, viewport=PHONE) as visit:
            visit.expected.append("ERR_")
            way.cut_all()  # so that the next connections are new
            way.hold_at = 200_000
            await visit.page.set_input_files("#file", large)
            await visit.page.locator("#file-name", has_text="large.wav").wait_for()
            await visit.page.click("#summarize")
            await visit.page.locator("#status", has_text="Sending the recording").wait_for()
            await until(lambda: talks.service.admission.held_bytes > 0, seconds=20)  # a part has arrived
            assert talks.engine.requests == []
            way.hold_at = 10**9
            way.cut_all()
            await visit.page.locator("#error", has_text=LOST).wait_for()
            assert not await visit.page.is_visible("#result")
            await visit.page.locator("#connection").wait_for(state="hidden")
            await visit.choose()
            await visit.summarize()
            assert not await visit.page.is_visible("#error")
    await talks.until_idle()


async def test_a_stream_that_is_cut_is_told_and_no_half_text_passes_for_a_whole(browser: Browser, talks: Site) -> None:
    talks.engine.piece_s = 0.1
    with cut_way(talks.port) as way:
        async with visiting(browser, talks, address=way.address, viewport=PHONE) as visit:
            visit.expected.append("ERR_")
            await visit.choose()
            await visit.page.click("#summarize")
            await visit.page.locator("#summary", has_text="harbour office").wait_for()
            way.cut_all()
            await visit.page.locator("#error", has_text=LOST).wait_for()
            assert await visit.text("#ending") == "This text broke off. It is not the whole answer."
            assert not await visit.page.is_visible("#exports")
            assert SUMMARY not in await visit.text("#summary")
            await talks.until_idle()  # nobody reads it, so the work has ended
            talks.engine.piece_s = 0.0
            await visit.page.locator("#connection").wait_for(state="hidden")
            await visit.summarize()
            assert not await visit.page.is_visible("#ending")


async def test_forty_minutes_of_two_speakers_on_a_phone_and_in_a_shell(tmp_path: Path) -> None:
    """The decoder and the speech detector are the real ones. The page sends it as a job, the command waits for it."""
    recording = tmp_path / "interview.m4a"
    await asyncio.to_thread(write_dialogue, recording, DIALOGUE_MINUTES * 60.0)
    async with (
        serving_talks(real_audio=True, window_seconds=60) as site,
        open_browser() as browser,
        visiting(browser, site, viewport=PHONE) as visit,
    ):
        visit.page.set_default_timeout(300_000)
        await visit.page.set_input_files("#file", recording)
        await visit.page.locator("#file-name", has_text="interview.m4a").wait_for()
        await visit.page.evaluate(
            """() => {
                window.seen = new Set();
                const look = () => seen.add(document.getElementById("jobs").textContent);
                const watched = {subtree: true, childList: true, characterData: true};
                new MutationObserver(look).observe(document.body, watched);
            }"""
        )
        site.engine.prefill_s = 0.2
        await visit.page.click("#queue")
        await visit.page.locator("#jobs button", has_text="Open").click()
        await visit.page.locator("#result").wait_for()
        seen = await visit.page.evaluate("[...seen]")
        assert [text for text in seen if "Taking notes on the parts of the recording: " in text], seen[-5:]
        assert "40:0" in await visit.text("#facts")
        assert await visit.page.locator("#windows li").count() > 35
        assert await visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"

        printed, progress = await asyncio.to_thread(summarize_in_a_terminal, recording, site.port)
        assert printed == f"{SUMMARY}\n"
        assert "Taking notes on the parts of the recording" in progress
        assert re.search(r"about \d+:\d\d left", progress)


def summarize_in_a_terminal(recording: Path, port: int) -> tuple[str, str]:
    """Run `speechsum summarize` with its standard error on a terminal. Returns what it printed there and on standard
    output.
    """
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'clients' / 'python'}", "TERM": "xterm"}
    command = [sys.executable, "-m", "app", "summarize", str(recording), "--server", f"http://127.0.0.1:{port}"]
    shown: list[bytes] = []

    def read_terminal() -> None:
        with suppress(OSError):  # the end of a terminal on Linux
            while piece := os.read(ours, 65_536):
                shown.append(piece)

    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True) as done:
        os.close(theirs)
        reader = threading.Thread(target=read_terminal)
        reader.start()
        printed, _ = done.communicate(timeout=300)
        reader.join()
    os.close(ours)
    assert done.returncode == 0, b"".join(shown)
    return printed, b"".join(shown).decode()
