"""Turns chat messages into the prompt of a checkpoint in this process.

Most checkpoints have a chat template, which gives text. Mistral's checkpoints have a tokenizer of their own, which
gives token ids. vLLM takes either. Transformers and mistral_common are imported late, because a checkpoint needs only
one of them. Knows nothing about vLLM's API.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.core.audio.limits import SAMPLE_RATE
from app.engine.chat_request import Messages, sort_longest_first, strip_control_tokens
from model_repo.families import ModelFamily, template_messages

Audio = NDArray[np.float32]


class PromptBuilder(Protocol):
    """Builds the prompts of one checkpoint."""

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""

    def build_prompt(self, messages: Messages, audio: Audio | None) -> dict[str, Any]:
        """Return vLLM's `prompt` or `prompt_token_ids`, up to where the answer begins.

        Control tokens are removed from the messages' texts. audio: mono samples at 16 kHz, shape (n,), for the
        messages' part of type "audio".
        """


class TemplatePromptBuilder:
    """Builds prompts with the tokenizer and the chat template in a folder, with a placeholder for the recording."""

    def __init__(self, folder: Path, family: ModelFamily | None = None) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._family = family
        self._control_tokens = sort_longest_first(
            {*self._tokenizer.all_special_tokens, *self._tokenizer.get_added_vocab()}
        )
        self._template: Any = self._tokenizer.apply_chat_template
        if self._tokenizer.chat_template is None:  # then the processor has it, in a file of its own
            from transformers import AutoProcessor

            processor: Any = AutoProcessor
            self._template = processor.from_pretrained(folder).apply_chat_template

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def build_prompt(self, messages: Messages, audio: Audio | None) -> dict[str, Any]:
        """Return the prompt as text: see `PromptBuilder.build_prompt`."""
        clean = template_messages(strip_control_tokens(messages, self._control_tokens), self._family)
        return {"prompt": str(self._template(clean, tokenize=False, add_generation_prompt=True))}


class MistralPromptBuilder:
    """Builds prompts with Mistral's tokenizer in `tekken.json`, which never reads a text as a control token.

    It has no system message beside audio, so that the system message opens the user's text instead. A recording is
    padded to whole windows, and the prompt has one placeholder for each of its frames.
    """

    def __init__(self, folder: Path) -> None:
        from mistral_common.protocol.instruct.chunk import AudioChunk
        from mistral_common.tokens.tokenizers.audio import Audio as MistralAudio
        from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

        self._tokenizer: Any = MistralTokenizer.from_file(str(folder / "tekken.json"))
        self._inner: Any = self._tokenizer.instruct_tokenizer
        self._encoder: Any = self._inner.audio_encoder
        short = MistralAudio(np.zeros(SAMPLE_RATE // 10, np.float32), SAMPLE_RATE, "wav")
        # It stands for the recording while messages are encoded. Its placeholders are then replaced by as many as the
        # recording needs.
        self._chunk = AudioChunk.from_audio(short)

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return len(self._inner.tokenizer.encode(text, bos=False, eos=False))

    def build_prompt(self, messages: Messages, audio: Audio | None) -> dict[str, Any]:
        """Return the prompt as token ids: see `PromptBuilder.build_prompt`."""
        from mistral_common.protocol.instruct.chunk import TextChunk
        from mistral_common.protocol.instruct.messages import AssistantMessage, UserMessage
        from mistral_common.protocol.instruct.request import ChatCompletionRequest

        turns: list[Any] = []
        opening: list[str] = []  # the text of the system message
        for message in messages:
            parts = _content_parts(message["content"])
            text = "\n".join([*opening, *(part["text"] for part in parts if part["type"] == "text")])
            opening = []
            if message["role"] == "system":
                opening = [text]
            elif message["role"] == "assistant":
                turns.append(AssistantMessage(content=text))
            else:
                chunks = [self._chunk] if any(part["type"] == "audio" for part in parts) else []
                turns.append(UserMessage(content=[*chunks, TextChunk(text=text)]))
        request: Any = ChatCompletionRequest(messages=turns)
        ids = self._tokenizer.encode_chat_completion(request).tokens
        if audio is not None:
            placeholder = self._encoder.audio_token
            first = ids.index(placeholder)
            ids = [
                *ids[:first],
                *[placeholder] * self._audio_token_count(len(audio)),
                *(id_ for id_ in ids[first:] if id_ != placeholder),
            ]
        return {"prompt_token_ids": ids}

    def _audio_token_count(self, sample_count: int) -> int:
        config = self._encoder.audio_config
        padded_count = self._encoder.next_multiple_of_chunk_frames(sample_count, config.sampling_rate)
        return int(config.num_audio_tokens(padded_count))


def _content_parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def prompt_builder(folder: Path, family: ModelFamily | None) -> PromptBuilder:
    """Return the prompt builder for the checkpoint in a folder."""
    if family and family.uses_mistral_tokenizer:
        return MistralPromptBuilder(folder)
    return TemplatePromptBuilder(folder, family)
