from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, AutoTokenizer

from app.core.prompts import SYSTEM_PROMPT, Style, instruction
from model_repo.architectures import AUDIO_TOKEN, AUDIO_TOKEN_ID, END_OF_TURN_TOKEN
from tests.training.tiny_checkpoints import RATE, noise, record
from training.data.record_files import UnusableRecord, read_records
from training.models.checkpoint import open_model
from training.models.collate import IGNORE_INDEX, AudioCollator, TextCollator, shuffle_audio

ANSWER = "Anna called; call her back."


@pytest.fixture(scope="module")
def processor(audio_folder: Path) -> Any:
    return AutoProcessor.from_pretrained(audio_folder)


@pytest.fixture(scope="module")
def hears(processor: Any) -> AudioCollator:
    return AudioCollator(processor, AUDIO_TOKEN_ID)


@pytest.fixture(scope="module")
def reads(llama_folder: Path) -> TextCollator:
    return TextCollator(AutoTokenizer.from_pretrained(llama_folder))


def labelled_text(batch: dict[str, torch.Tensor], row: int) -> list[int]:
    return batch["labels"][row][batch["labels"][row] != IGNORE_INDEX].tolist()


def test_only_the_answer_and_its_end_are_learned(hears: AudioCollator, tmp_path: Path) -> None:
    answers = ("Yes.", ANSWER)
    batch = hears([record(i, tmp_path, noise(0.5 + i), answer) for i, answer in enumerate(answers)])
    tokenizer = hears.processor.tokenizer
    for row, answer in enumerate(answers):
        assert tokenizer.decode(labelled_text(batch, row)) == answer + END_OF_TURN_TOKEN
        end = int(batch["attention_mask"][row].sum())
        learned = (batch["labels"][row] != IGNORE_INDEX).nonzero().flatten().tolist()
        assert learned == list(range(end - len(learned), end)), "the answer is the last thing before the padding"
        torch.testing.assert_close(batch["labels"][row][learned], batch["input_ids"][row][learned])
        assert set(batch["input_ids"][row][end:].tolist()) <= {tokenizer.pad_token_id}
        assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_the_text_twin_learns_only_the_answer_too(reads: TextCollator, tmp_path: Path) -> None:
    rows = [record(0, tmp_path, summary="Yes."), record(1, tmp_path, summary=ANSWER, transcript="Well. " * 40)]
    batch = reads(rows)
    for row, each in enumerate(rows):
        assert reads.tokenizer.decode(labelled_text(batch, row)) == each.summary + END_OF_TURN_TOKEN
        end = int(batch["attention_mask"][row].sum())
        text = reads.tokenizer.decode(batch["input_ids"][row][:end])
        assert text == reads.prompt(each) + each.summary + END_OF_TURN_TOKEN


def test_after_what_was_written_instead_the_summary_is_learned(reads: TextCollator, tmp_path: Path) -> None:
    row = record(0, tmp_path, summary=ANSWER, written="Anna came; call her.")
    batch, tokenizer = reads([row]), reads.tokenizer
    wrote, said = (tokenizer(text)["input_ids"] for text in (row.written, row.summary))
    assert tokenizer.decode(batch["input_ids"][0]) == reads.prompt(row) + str(row.written) + END_OF_TURN_TOKEN
    labels = batch["labels"][0][-len(wrote) - 1 :].tolist()
    assert batch["labels"][0].tolist()[: -len(labels)] == [IGNORE_INDEX] * (batch["labels"].shape[1] - len(labels))
    came = next(i for i, (a, b) in enumerate(zip(wrote, said, strict=False)) if a != b)
    assert labels[: came + 1] == said[: came + 1], "where it went astray the right word is learned"
    assert labels[came + 1] == IGNORE_INDEX, "and after that, nothing until both agree"
    assert labels[-2:] == [said[-2], tokenizer.eos_token_id], "it left out the last word, and then ended"
    assert labels[-2] != wrote[-1]


def test_the_prompt_is_the_services(hears: AudioCollator, reads: TextCollator, tmp_path: Path) -> None:
    style = Style(style="bullets", length="short", focus="the pump")
    row = record(0, tmp_path, query=instruction(style))
    assert hears.prompt(row) == (
        f"<|im_start|>system\n{SYSTEM_PROMPT}<|im_end|>\n"
        f"<|im_start|>user\n{AUDIO_TOKEN}\n{instruction(style)}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert reads.prompt(row) == (
        f"<|im_start|>system\n{SYSTEM_PROMPT}<|im_end|>\n<|im_start|>user\n"
        f"<transcript>\n{row.transcript}\n</transcript>\n{instruction(style)}<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("seconds", [0.2, 0.2037, 29.99, 30.0, 30.0001, 30.03, 61.7])
def test_there_is_a_placeholder_for_every_frame_the_encoder_gives(
    seconds: float, hears: AudioCollator, audio_folder: Path, tmp_path: Path
) -> None:
    samples = noise(seconds)
    row = record(0, tmp_path, samples)
    batch = hears([row])
    alone = hears.processor(text=[hears.prompt(row)], audio=[samples])
    prompt_length = alone["input_ids"].shape[1]
    torch.testing.assert_close(batch["input_ids"][:, :prompt_length], alone["input_ids"])
    torch.testing.assert_close(batch["input_features"], alone["input_features"])
    torch.testing.assert_close(batch["input_features_mask"], alone["input_features_mask"])
    with torch.no_grad():
        model = open_model(audio_folder).model
        frames = model.get_audio_features(batch["input_features"], batch["input_features_mask"]).pooler_output
    assert int((batch["input_ids"] == AUDIO_TOKEN_ID).sum()) == len(frames)
    assert abs(len(frames) - seconds * 25) < 1 + seconds / 30, "25 frames a second"


def test_windows_of_several_recordings_keep_their_order(hears: AudioCollator, tmp_path: Path) -> None:
    rows = [record(0, tmp_path, noise(31, 1)), record(1, tmp_path, noise(2, 2))]
    together = hears(rows)
    assert together["input_features"].shape[0] == 3
    alone = [hears([row]) for row in rows]
    for name in ("input_features", "input_features_mask"):
        torch.testing.assert_close(together[name], torch.cat([one[name] for one in alone]))


def refusal(collator: Any, row: Any) -> str:
    with pytest.raises(UnusableRecord) as caught:
        collator([row])
    assert str(caught.value).startswith("clip-5: "), "the message names the record"
    return str(caught.value)


def test_audio_that_cannot_be_trained_on_is_refused(hears: AudioCollator, tmp_path: Path) -> None:
    assert "has no audio" in refusal(hears, record(5, tmp_path))
    assert "does not exist" in refusal(hears, record(5, tmp_path, audio=str(tmp_path / "nowhere.wav")))
    for value in (np.nan, np.inf):
        samples = noise(1)
        samples[77] = value
        assert "not finite" in refusal(hears, record(5, tmp_path, samples))
    assert "300" in refusal(hears, record(5, tmp_path, np.zeros(300 * RATE + 1, np.float32)))
    assert "its length is zero" in refusal(hears, record(5, tmp_path, noise(0)))
    assert "too few" in refusal(hears, record(5, tmp_path, noise(0.01)))


def test_text_that_cannot_be_trained_on_is_refused(hears: AudioCollator, reads: TextCollator, tmp_path: Path) -> None:
    row = record(5, tmp_path, noise(1))
    for collator in (hears, reads):
        assert "summary is empty" in refusal(collator, replace(row, summary=" \n"))
    assert "summary holds the audio placeholder" in refusal(hears, replace(row, summary=f"Anna {AUDIO_TOKEN} called."))
    assert "query holds the audio placeholder" in refusal(hears, replace(row, query=f"Summarize {AUDIO_TOKEN}."))


def test_nothing_is_cut_to_fit(hears: AudioCollator, reads: TextCollator, tmp_path: Path) -> None:
    row = record(5, tmp_path, noise(1))
    for collator in (hears, reads):
        size = collator([row])["input_ids"].shape[1]
        assert replace(collator, max_tokens=size)([row])["input_ids"].shape[1] == size
        message = refusal(replace(collator, max_tokens=size - 1), row)
        assert f"{size} tokens, the model takes {size - 1}" in message


def test_questions_end_where_the_answer_begins_and_need_none(
    hears: AudioCollator, reads: TextCollator, tmp_path: Path
) -> None:
    rows = [record(i, tmp_path, noise(0.5 + 0.7 * i, i), "", transcript=f"Caller {i}.") for i in range(3)]
    for collator in (hears, reads):
        given = collator.collate_questions(rows)
        assert given["attention_mask"][:, -1].tolist() == [1, 1, 1], "padded on the left"
        answered = collator([replace(row, summary=ANSWER) for row in rows])
        for i, (ids, mask) in enumerate(zip(given["input_ids"], given["attention_mask"], strict=True)):
            asked = answered["input_ids"][i][answered["labels"][i] == IGNORE_INDEX][: int(mask.sum())]
            assert ids[mask.bool()].tolist() == asked.tolist()
            text = collator.tokenizer.decode(ids[mask.bool()])
            assert text.endswith("<|im_start|>assistant\n")
            assert (f"Caller {i}." in text) == (collator is reads)
        for name in given.keys() - {"input_ids", "attention_mask"}:
            assert torch.equal(given[name], answered[name])


def test_a_question_leaves_room_for_its_answer(reads: TextCollator, tmp_path: Path) -> None:
    row = record(5, tmp_path)
    size = reads.collate_questions([row])["input_ids"].shape[1]
    replace(reads, max_tokens=size + 9).collate_questions([row], room=9)
    with pytest.raises(UnusableRecord, match=f"clip-5: {size} tokens leave no room for 9"):
        replace(reads, max_tokens=size + 8).collate_questions([row], room=9)


def test_records_are_read_with_their_audio_beside_them(tmp_path: Path) -> None:
    row = record(1, tmp_path, noise(0.5))
    file = tmp_path / "records.jsonl"
    file.write_text(replace(row, audio="1.wav").to_json() + "\n")
    assert read_records(file, file) == [row, row]


def test_each_record_hears_another(tmp_path: Path) -> None:
    rows = [record(i, tmp_path, audio=f"{i}.wav") for i in range(3)]
    other = shuffle_audio(rows)
    assert [r.id for r in other] == [r.id for r in rows]
    assert [r.audio for r in other] == [rows[1].audio, rows[2].audio, rows[0].audio]


def test_a_record_never_hears_its_own_recording(tmp_path: Path) -> None:
    rows = [record(i, tmp_path, audio=audio) for i, audio in enumerate(["a.wav", "a.wav", "b.wav", "a.wav"])]
    assert [r.audio for r in shuffle_audio(rows)] == ["b.wav", "b.wav", "a.wav", "b.wav"]
    with pytest.raises(UnusableRecord, match="clip-0: no other recording"):
        shuffle_audio(rows[:2])
