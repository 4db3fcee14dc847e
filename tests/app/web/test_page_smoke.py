"""The page in a real browser, once and quickly: a recording is chosen, and its summary, an answer and the transcript
come.

What else it does is in the other modules here, which take longer.
"""

from tests.app.web.browser import ANSWER, NOTES, SUMMARY, UNHEARD, open_browser, serving_talks, visiting


async def test_a_recording_becomes_a_summary() -> None:
    async with serving_talks() as site, open_browser() as browser, visiting(browser, site) as visit:
        await visit.choose()
        await visit.page.select_option("#template", "voicemail")
        await visit.fill_more(vocabulary="Kubernetes", questions="Who pays?")
        await visit.summarize()
        shown = await visit.page.evaluate(
            # What is for screen readers alone, and the buttons, are no part of the text.
            """() => {
                const copy = document.getElementById("summary").cloneNode(true);
                for (const extra of copy.querySelectorAll(".away, button")) extra.remove();
                return copy.textContent;
            }"""
        )
        assert shown == SUMMARY
        marks = visit.page.locator("#summary mark")
        assert [text.split(" (not")[0] for text in await marks.all_text_contents()] == list(UNHEARD)
        assert await visit.text("#status") == "Done."
        assert "template: Voicemail" in await visit.text("#facts")
        assert (await visit.page.locator("#answers dd").text_content() or "").startswith(ANSWER.split(".")[0])
        assert NOTES[1] in (await visit.page.locator("#transcript ol").text_content() or "")
