"""The body of a request to a server: the exact samples, and all sampling fields."""

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
import soundfile

from app.core.prompts import SYSTEM_PROMPT, audio_messages, notes_messages, transcript_messages
from app.engine.chat_request import SamplingOptions
from app.engine.remote.request_body import CompletionRequest

SAMPLES = np.random.default_rng(0).uniform(-1, 1, 1601).astype(np.float32)


def body(question: CompletionRequest, model: str = "m@1") -> dict[str, Any]:
    read: dict[str, Any] = json.loads(b"".join(question.body(model)))
    return read


def test_the_recording_stands_where_its_placeholder_is() -> None:
    awkward = 'Say "no" \\ and\n{"data": 1} ünd 🚆'
    said = body(CompletionRequest(audio_messages(awkward), SamplingOptions(8), "id", 100, SAMPLES))
    system, user = said["messages"]
    assert system == {"role": "system", "content": [{"type": "text", "text": SYSTEM_PROMPT}]}
    audio, text = user["content"]
    assert text == {"type": "text", "text": awkward}
    assert (audio["type"], audio["input_audio"]["format"]) == ("input_audio", "wav")
    read, rate = soundfile.read(io.BytesIO(base64.b64decode(audio["input_audio"]["data"])), dtype="float32")
    assert rate == 16_000
    assert read.tobytes() == SAMPLES.tobytes()


@pytest.mark.parametrize("messages", [notes_messages("Do.", "- a"), transcript_messages("Do.", "Hello.")])
def test_text_is_sent_as_it_is(messages: list[dict[str, Any]]) -> None:
    assert body(CompletionRequest(messages, SamplingOptions(8), "id", 100))["messages"] == messages


def test_each_server_is_asked_by_its_own_name_for_the_model() -> None:
    question = CompletionRequest(audio_messages("Do."), SamplingOptions(8), "id", 100, SAMPLES)
    one, other = body(question, "a@1"), body(question, '/models/"b"/1')
    assert (one.pop("model"), other.pop("model")) == ("a@1", '/models/"b"/1')
    assert one == other


def test_how_it_is_written_is_said_in_full() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    sampling = SamplingOptions(50, temperature=0.7, seed=3, schema=schema, stop=("END", "\n\n"), top_p=0.9)
    said = body(CompletionRequest(notes_messages("Do.", "- a"), sampling, "the-id", 100))
    del said["messages"], said["model"]
    assert said == {
        "request_id": "the-id",
        "max_completion_tokens": 50,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "seed": 3,
        "stop": ["END", "\n\n"],
        "structured_outputs": {"json": schema},
        "repetition_detection": {"max_pattern_size": 60, "min_pattern_size": 3, "min_count": 3},
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_token_ids": True,
    }


def test_what_is_not_asked_for_is_not_said() -> None:
    said = body(CompletionRequest(notes_messages("Do.", "- a"), SamplingOptions(8), "id", 100))
    assert not {"seed", "stop", "structured_outputs"} & set(said)


def test_a_server_is_never_asked_for_more_than_the_context_holds() -> None:
    assert (
        body(CompletionRequest(notes_messages("Do.", "- a"), SamplingOptions(5000), "id", 4096))[
            "max_completion_tokens"
        ]
        == 4096
    )


@pytest.mark.engine
@pytest.mark.parametrize(
    "sampling",
    [
        SamplingOptions(50),
        SamplingOptions(50, temperature=0.7, seed=3, stop=("END",), top_p=0.9),
        SamplingOptions(50, schema={"type": "object", "properties": {"a": {"type": "string"}}}),
    ],
)
def test_vllms_server_makes_of_it_what_the_engine_in_this_process_is_given(sampling: SamplingOptions) -> None:
    """Whatever the checkpoint's own generation_config.json would rather have."""
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

    from app.engine.vllm_options import vllm_sampling_params

    said = body(CompletionRequest(audio_messages("Do."), sampling, "id", 8192, SAMPLES))
    request = ChatCompletionRequest.model_validate(said)
    assert not request.model_extra, "vLLM knows these fields no more"
    rather = {"temperature": 0.3, "top_p": 0.5, "top_k": 5, "min_p": 0.2, "repetition_penalty": 1.3}
    ours = request.to_sampling_params(said["max_completion_tokens"], rather)
    expected = vllm_sampling_params(sampling)
    for name in (
        "max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
        "frequency_penalty", "seed", "stop", "structured_outputs", "repetition_detection", "output_kind",
        "skip_special_tokens", "spaces_between_special_tokens", "ignore_eos", "min_tokens", "n",
    ):  # fmt: skip
        assert getattr(ours, name) == getattr(expected, name), name
