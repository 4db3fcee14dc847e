"""What else a person can ask on the page: templates, notes, names, questions, the transcript, a recording that is kept.

Each is done in a real browser.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from playwright.async_api import Browser

from app.engine.base import GenerationRequest
from tests.app.running_service import Site
from tests.app.web.browser import ANSWER, MARKUP, MODEL, NOTES, Visit, save, serving_talks, talk, visiting, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
KEY = "a-key-for-the-tests"
ASKED = "Who sends the floor plan?"


async def test_a_template_is_chosen_by_what_it_is_for(browser: Browser, talks: Site) -> None:
    template = {"name": "harbour_talk", "description": "Talks about the harbour.", "instruction": "Name the harbour."}
    assert (await talks.client.post("/v1/templates", json=template)).status_code == 201
    async with visiting(browser, talks) as visit:
        page = visit.page
        groups = await page.locator("#template optgroup").evaluate_all("(all) => all.map((one) => one.label)")
        assert groups == ["Your own", "Built in"]
        assert await visit.text("#template option:nth-child(2)") == "Let the model choose"
        styles = await page.locator("#style option").all_text_contents()
        await page.select_option("#template", "harbour_talk")
        assert await visit.text("#template-facts") == "Talks about the harbour."
        assert (await page.locator("#style option").all_text_contents())[:2] == ["The template's", "Paragraph"]
        await visit.choose()
        await visit.summarize()
        assert "template: Harbour talk" in await visit.text("#facts")
        # No style was sent, so that the template's instruction stands alone.
        assert talks.engine.requests[-1].instruction.startswith("Name the harbour.")
        await page.select_option("#style", "paragraph")
        await visit.summarize()
        assert not talks.engine.requests[-1].instruction.startswith("Name the harbour.")
        await page.select_option("#template", "")
        assert await page.locator("#style option").all_text_contents() == styles
        assert await page.input_value("#style") == ""
        # It was deleted by somebody else.
        await page.select_option("#template", "harbour_talk")
        await talks.client.delete("/v1/templates/harbour_talk")
        visit.expected.append("404")
        await page.click("#summarize")
        await page.locator("#error", has_text="This template is gone.").wait_for()


async def test_the_model_chooses_a_template(visit: Visit) -> None:
    pieces = visit.site.engine.pieces

    def choose(asked: GenerationRequest) -> Sequence[str]:
        return ['{"template": "voicemail"}'] if asked.request_id.endswith("-template") else pieces(asked)

    visit.site.engine.pieces = choose
    await visit.choose()
    await visit.page.select_option("#template", "auto")
    assert "chooses one" in await visit.text("#template-facts")
    await visit.summarize()
    assert "template: Voicemail" in await visit.text("#facts")


async def test_notes_and_names_reach_the_model_and_what_it_has_from_them_is_marked(visit: Visit) -> None:
    await visit.choose()
    await visit.fill_more(context="Agenda: Peter Novak presents the plan.", vocabulary="Aoife Gallagher, Kubernetes")
    await visit.summarize()
    asked = visit.site.engine.requests[-1]
    assert "Agenda: Peter Novak presents the plan." in asked.instruction
    assert asked.vocabulary == ("Aoife Gallagher", "Kubernetes")
    assert await visit.text("#more-count") == ": 2 of 3 in use"
    marks = visit.page.locator("#summary mark")
    classes = await marks.evaluate_all("(all) => all.map((one) => [one.firstChild.data, one.className])")
    assert classes == [["Peter Novak", "noted"], ["$9,900", ""]]
    assert "from your notes, not heard" in (await marks.first.text_content() or "")
    assert await visit.page.is_visible("#noted-note")
    assert await visit.page.is_visible("#unheard-note")
    # They are told apart by more than their colour.
    lines = await marks.evaluate_all("(all) => all.map((one) => getComputedStyle(one).textDecorationStyle)")
    assert lines == ["dotted", "wavy"]


async def test_questions_are_answered_below_the_summary(visit: Visit) -> None:
    await visit.choose()
    await visit.fill_more(questions=f"{ASKED}\n\n  Who pays?  ")
    await visit.summarize()
    assert await visit.page.locator("#answers dt").all_text_contents() == [ASKED, "Who pays?"]
    first = visit.page.locator("#answers dd").first
    assert await first.locator("mark").evaluate_all("(all) => all.map((one) => one.firstChild.data)") == ["Gustav"]
    await first.locator("button.source").first.click()
    await visit.page.locator("#status", has_text="Playing").wait_for()
    async with visit.page.expect_download() as download:
        await visit.page.click("#save-markdown")
    saved = await save(await download.value)
    assert f"## Answers\n\n**{ASKED}**\n\n{ANSWER}\n" in saved
    assert "## Transcript" in saved
    visit.expected.append("400")
    await visit.fill_more(questions="\n".join(["Who?"] * 11))
    await visit.page.click("#summarize")
    await visit.page.locator("#error", has_text="questions").wait_for()


async def test_the_transcript_is_shown_heard_and_saved(visit: Visit) -> None:
    await visit.choose(name="board.wav")
    await visit.summarize()
    await visit.page.click("#transcript summary")
    lines = visit.page.locator("#transcript li")
    texts = await lines.all_text_contents()
    assert texts[0] == "0:00 The planning meeting opens."
    assert any("Friday" in text for text in texts)
    await lines.nth(1).locator("button").click()
    await wait_for(visit, "player.currentTime >= 2")
    for format in ("srt", "vtt", "txt"):
        async with visit.page.expect_download() as download:
            await visit.page.click(f'#transcript button[data-format="{format}"]')
        file = await download.value
        assert file.suggested_filename == f"board-transcript.{format}"
        asked = await visit.site.post(talk(), transcript="text" if format == "txt" else format)
        of_service = asked.json()["transcript"]["text"]
        assert await save(file) == (f"{of_service}\n" if format == "txt" else of_service)
    await visit.page.uncheck("#wants-transcript")
    await visit.summarize()
    assert not await visit.page.is_visible("#transcript")


async def test_a_model_that_hears_has_no_transcript_to_offer(browser: Browser) -> None:
    async with serving_talks(model=replace(MODEL, kind="audio-llm")) as site, visiting(browser, site) as visit:
        await visit.page.locator("#transcript-note", has_text="writes no transcript").wait_for()
        assert await visit.page.is_disabled("#wants-transcript")
        await visit.choose()
        await visit.summarize()
        assert not await visit.page.is_visible("#transcript")


async def test_a_kept_recording_is_asked_about_and_summarized_again_without_being_sent(browser: Browser) -> None:
    async with serving_talks(recordings={"seconds": 300}) as site, visiting(browser, site) as visit:
        page = visit.page
        await visit.choose()
        await page.check("#keep")
        await visit.summarize()
        decoded = len(site.decoder.requesters)
        assert "The service keeps the recording until" in await visit.text("#kept-note")
        await page.fill("#question", ASKED)
        await page.keyboard.press("Enter")
        await page.locator("#status", has_text="Answered.").wait_for()
        assert await page.evaluate("document.activeElement.id") == "question"
        await page.fill("#question", "Until when?")
        await page.click("#ask")
        await page.locator("#answers dd").nth(1).wait_for()
        await page.locator("#status", has_text="Answered.").wait_for()
        assert await page.locator("#answers dt").all_text_contents() == [ASKED, "Until when?"]
        assert await page.locator("#answers dd mark").count() == 2
        (turn,) = site.engine.requests[-1].turns
        assert (turn.question, turn.answer) == (ASKED, ANSWER)
        # A screen reader is told the answers too.
        assert (await page.locator("#announcer p").all_text_contents())[-2:] == [ANSWER, ANSWER]
        await page.select_option("#style", "bullets")
        await visit.summarize()
        assert len(site.decoder.requesters) == decoded, "the recording was sent again"
        assert await page.locator("#answers dt").count() == 0
        assert await page.is_visible("#ask-form")
        # The recognizer listens for names, so with others the recording is heard again.
        await visit.fill_more(vocabulary="Kubernetes")
        await visit.summarize()
        assert len(site.decoder.requesters) == decoded + 1
        assert site.service.recordings.count == 2
        await page.click("#delete-recording")
        await page.locator("#status", has_text="has deleted the recording").wait_for()
        assert not await page.is_visible("#ask-form")
        assert site.service.recordings.count == 1


async def test_a_recording_that_is_gone_is_told_and_sent_again(browser: Browser) -> None:
    async with serving_talks(recordings={"seconds": 300}) as site, visiting(browser, site) as visit:
        visit.expected.append("404")
        before = len(site.decoder.requesters)
        await visit.choose()
        await visit.page.check("#keep")
        for _ in range(2):
            await visit.summarize()
            site.service.recordings.close()  # as a restart of the service does
        await visit.page.fill("#question", ASKED)
        await visit.page.click("#ask")
        await visit.page.locator("#error", has_text="does not keep this recording any more").wait_for()
        assert not await visit.page.is_visible("#ask-form")
        assert not await visit.page.is_visible("#answers")
        assert len(site.decoder.requesters) == before + 2


async def test_a_service_that_keeps_nothing_says_so_once(visit: Visit) -> None:
    visit.expected.append("400")
    await visit.choose()
    await visit.page.check("#keep")
    await visit.page.click("#summarize")
    await visit.page.locator("#error", has_text="This service keeps no recordings").wait_for()
    assert not await visit.page.is_visible("#keep")
    await visit.summarize()
    assert not await visit.page.is_visible("#error")
    assert not await visit.page.is_visible("#ask-form")


async def test_a_question_is_cancelled(browser: Browser) -> None:
    async with serving_talks(recordings={"seconds": 300}) as site, visiting(browser, site) as visit:
        await visit.choose()
        await visit.page.check("#keep")
        await visit.summarize()
        site.engine.prefill_s = 30
        await visit.page.fill("#question", ASKED)
        await visit.page.keyboard.press("Enter")
        await visit.page.click("#cancel")
        await visit.page.locator("#status", has_text="Cancelled.").wait_for()
        await site.until_idle()
        assert not await visit.page.is_visible("#answers")
        assert await visit.page.is_visible("#summary")
        assert await visit.page.input_value("#question") == ASKED


async def test_the_names_of_a_key_are_kept_shown_and_forgotten(browser: Browser) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    async with serving_talks(auth={"keys": [KEY]}) as site, visiting(browser, site, is_open=False) as visit:
        visit.expected.append("401")
        hostile = MARKUP[:60]
        await site.client.put("/v1/vocabulary", json={"terms": [hostile]}, headers=headers)
        await visit.page.fill("#key", KEY)
        await visit.page.keyboard.press("Enter")
        await visit.page.locator("#model option").first.wait_for(state="attached")
        await visit.fill_more(vocabulary=f"Kubernetes; {hostile}\nAoife Gallagher")
        await visit.page.locator("#key-terms", has_text=hostile).wait_for()
        await visit.page.click("#keep-terms")
        await visit.page.locator("#status", has_text="The names are kept for this key.").wait_for()
        kept = (await site.client.get("/v1/vocabulary", headers=headers)).json()["terms"]
        assert kept == [hostile, "Kubernetes", "Aoife Gallagher"]
        assert "Kubernetes, Aoife Gallagher." in await visit.text("#key-terms")
        assert await visit.page.input_value("#vocabulary") == ""
        await visit.choose()
        await visit.summarize()
        assert site.engine.requests[-1].vocabulary == tuple(kept)
        await visit.page.click("#forget-terms")
        await visit.page.locator("#status", has_text="no names any more").wait_for()
        assert (await site.client.get("/v1/vocabulary", headers=headers)).json()["terms"] == []
        assert await visit.page.title() == "speechsum"


async def test_the_answers_come_as_they_are_written(visit: Visit) -> None:
    await visit.page.evaluate(
        """() => {
            window.seen = new Set();
            const look = () => seen.add(document.getElementById("answers").textContent);
            new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
        }"""
    )
    visit.site.engine.piece_s = 0.05
    await visit.choose()
    await visit.fill_more(questions=ASKED)
    await visit.summarize()
    seen = await visit.page.evaluate("[...seen]")
    assert len([text for text in seen if ASKED in text]) > 4, "the answer came in one piece"
    await asyncio.sleep(0)
    assert NOTES[0] not in await visit.text("#answers")
