"""Talks that were written by hand become records, one for each request."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.core.prompts import STRUCTURED_INSTRUCTION, Style, instruction, note_instruction
from training.__main__ import main
from training.data.record_files import read_records
from training.facts.coverage import count_facts, is_covered, repetition_rate
from training.synth.text.written_talks import TALKS_FOLDER, read_talks, talk_records, talk_split


def talk(**changed: Any) -> dict[str, Any]:
    """A short talk with three requests, the last of them JSON."""
    known = {
        "id": "t-001",
        "language": "en",
        "register": "voicemail",
        "turns": [[0, "Hello, this is Ada."], [0, "The boat leaves at 9."]],
        "facts": [{"kind": "when", "text": "the boat leaves at 9", "accept": ["9"], "core": True}],
        "answers": [
            {"style": {"style": "paragraph"}, "summary": "Ada says that the boat leaves at 9."},
            {"style": {"style": "bullets", "language": "de"}, "summary": "- Das Boot fährt um 9."},
            {"json": {"title": "Boat", "summary": "It leaves at 9.", "key_points": []}},
        ],
    }
    return known | changed


def test_each_answer_is_a_record_with_the_services_own_request() -> None:
    found = talk_records(talk(), "train")
    assert [one.id for one in found] == ["t-001/0", "t-001/1", "t-001/2"]
    assert {one.recording for one in found} == {"t-001"}
    assert {one.transcript for one in found} == {"Hello, this is Ada. The boat leaves at 9."}
    assert found[1].query == instruction(Style(style="bullets", language="de"))
    assert found[2].query == f"{instruction(Style())} {STRUCTURED_INSTRUCTION}"
    assert json.loads(found[2].summary)["title"] == "Boat"
    assert ": " not in found[2].summary.split("summary")[0], "as compact as the service's JSON"


def test_a_talk_in_german_is_summarized_in_german_as_in_the_service() -> None:
    first, second, _ = talk_records(talk(language="de"), "train")
    assert first.query.endswith("Write in German.")
    assert first.style == {"style": "paragraph", "language": "de"}
    assert second.style == {"style": "bullets", "language": "de"}


def test_notes_read_their_own_turns_and_are_merged_with_their_times() -> None:
    turns = [[0, "word " * 250], [1, "end"]]
    notes = [{"turns": [0, 0], "summary": "- Words."}, {"turns": [1, 1], "summary": "- The end."}]
    *_, first, second, merged = talk_records(talk(turns=turns, notes=notes), "train")
    assert first.transcript.split() == ["word"] * 250
    assert second.transcript == "end"
    assert first.query == note_instruction(Style())
    assert merged.notes == "[0:00:00]\n- Words.\n[0:01:40]\n- The end."
    assert merged.transcript == ""
    assert merged.summary == "Ada says that the boat leaves at 9."


def test_words_can_be_misheard_in_every_second_talk(tmp_path: Path) -> None:
    talks = [
        talk(id=f"t-{number}", turns=[[0, "It is their boat, and they know it too. " * 20]]) for number in range(40)
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(one) + "\n" for one in talks))
    out = tmp_path / "out.jsonl"
    assert main(["data", "talks", "--folder", str(tmp_path), "--out", str(out), "--asr-noise", "0.2"]) == 0
    said = [one.transcript for one in read_records(out) if one.id.endswith("/0")]
    kept = [text == " ".join(talks[0]["turns"][0][1].split()) or "there" not in text for text in said]
    assert kept[::2] == [True] * len(kept[::2])
    assert not any(kept[1::2])


@pytest.fixture(scope="module")
def all_talks() -> list[dict[str, Any]]:
    return list(read_talks())


def test_the_written_talks_are_in_two_splits_and_have_their_own_names(all_talks: list[dict[str, Any]]) -> None:
    assert len(all_talks) > 400
    assert len({one["id"] for one in all_talks}) == len(all_talks)
    dev = [one for one in all_talks if talk_split(one["id"]) == "dev"]
    assert 0.02 < len(dev) / len(all_talks) < 0.09
    assert [one["id"] for one in read_talks(split="dev", languages=["en"])] == [
        one["id"] for one in dev if one["language"] == "en"
    ]


def test_every_fact_is_said_and_every_first_summary_has_the_core(all_talks: list[dict[str, Any]]) -> None:
    """What the data promises, counted: a fact may be spread over sentences, a summary may miss few."""
    said = covered = core = facts = core_facts = invented = english = 0
    for one in all_talks:
        whole = talk_records(one, "train")[0]
        text = (
            whole.transcript.replace(".", " ").replace("?", " ").replace("!", " ").replace(";", " ").replace(":", " ")
        )
        said += sum(is_covered(fact, text) or is_covered(fact, whole.transcript) for fact in whole.facts)
        counts = count_facts(whole.facts, whole.summary, whole.transcript)
        facts, core_facts = facts + counts.total, core_facts + counts.core_total
        covered, core = covered + counts.covered, core + counts.core_covered
        if one["language"] == "en":
            english += 1
            invented += len(counts.hallucinated)
        assert len(whole.summary.split()) <= 97, one["id"]
        assert repetition_rate(whole.summary) < 0.15, one["id"]
    assert said / facts > 0.99
    assert core / core_facts > 0.99
    assert covered / facts > 0.9
    assert invented / english < 0.02


def test_the_folder_holds_talks_and_nothing_else() -> None:
    assert {file.suffix for file in TALKS_FOLDER.iterdir()} == {".jsonl"}


def test_a_request_may_name_the_length_of_its_summary(tmp_path: Path) -> None:
    folder, out = tmp_path / "talks", tmp_path / "out.jsonl"
    folder.mkdir()
    long = " ".join(f"word{number}" for number in range(67))
    answers = [
        {"style": {"style": "paragraph"}, "summary": "Ada says that the boat leaves at 9."},
        {"style": {"style": "paragraph", "language": "de"}, "summary": long},
        {"style": {"style": "paragraph", "length": "short"}, "summary": "It leaves at 9."},
        {"style": {"style": "headline"}, "summary": "Boat at 9"},
    ]
    name = next(f"t-{number:03}" for number in range(100) if talk_split(f"t-{number:03}") == "train")
    (folder / "one.jsonl").write_text(json.dumps(talk(id=name, answers=answers)))
    assert main(["data", "talks", "--folder", str(folder), "--name-length", "1", "--out", str(out)]) == 0
    records = list(read_records(out))
    assert [(one.query, (one.style or {}).get("length")) for one in records] == [
        ("Summarize the recording in one paragraph. Use about 10 words.", "10"),
        ("Summarize the recording in one paragraph. Use about 70 words. Write in German.", "70"),
        (instruction(Style(style="paragraph", length="short")), "short"),
        (instruction(Style(style="headline")), None),
    ]
    assert main(["data", "talks", "--folder", str(folder), "--max-words", "7", "--out", str(out)]) == 0
    assert list(read_records(out)) == []
