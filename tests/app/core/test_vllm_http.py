"""The parts of vLLM's HTTP API that the service and the pipeline share."""

import pytest

from app.core.prompts import audio_messages, transcript_messages
from app.core.vllm_http import MAX_ERROR_CHARACTERS, error_message, insert_audio


def test_the_recording_takes_the_place_of_the_audio_part() -> None:
    system, user = insert_audio(audio_messages("Summarize."), "UklGRg==")
    assert [part["type"] for part in system["content"]] == ["text"]
    audio, text = user["content"]
    assert audio == {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    assert text == {"type": "text", "text": "Summarize."}


def test_messages_without_audio_stay_as_they_are() -> None:
    messages = transcript_messages("Summarize.", "Hello.")
    assert insert_audio(messages, "UklGRg==") == messages


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "too long", "code": 400}}', "too long"),
        (b"Bad Gateway\n", "Bad Gateway"),
        (b'{"detail": "other"}', '{"detail": "other"}'),
        (b"\xff", "\ufffd"),
        (b" ", "the server gave no reason"),
        (b"x" * (MAX_ERROR_CHARACTERS + 1), "x" * MAX_ERROR_CHARACTERS),
    ],
)
def test_an_error_is_read_from_whatever_the_server_sent(body: bytes, message: str) -> None:
    assert error_message(body) == message
