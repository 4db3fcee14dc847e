"""How a checkpoint in this process takes chat messages: as text by its chat template, or as Mistral's tokenizer makes
ids of them. Both are given to vLLM as they come out of here.

Knows nothing about vLLM. Needs Transformers, or mistral_common, which is why they are imported late.
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
    """What a prompt is to one checkpoint."""

    def count_tokens(self, text: str) -> int:
        """Tokens of a text."""

    def build_prompt(self, messages: Messages, audio: Audio | None) -> dict[str, Any]:
        """vLLM's `prompt` or `prompt_token_ids`, ready for the answer, without control tokens inside the texts. audio:
        mono samples for the messages' placeholder.
        """


class TemplatePromptBuilder:
    """By the tokenizer and the chat template in the folder, with a placeholder for the recording."""

    def __init__(self, folder: Path, facts: ModelFamily | None = None) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._family = facts
        self._control_tokens = sort_longest_first(
            {*self._tokenizer.all_special_tokens, *self._tokenizer.get_added_vocab()}
        )
        self._template: Any = self._tokenizer.apply_chat_template
        if self._tokenizer.chat_template is None:  # a processor's, in a file of its own
            from transformers import AutoProcessor

            processor: Any = AutoProcessor
            self._template = processor.from_pretrained(folder).apply_chat_template

    def count_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def build_prompt(self, messages: Messages, audio: Audio | None) -> dict[str, Any]:
        """See `PromptBuilder`."""
        clean = template_messages(strip_control_tokens(messages, self._control_tokens), self._family)
        return {"prompt": str(self._template(clean, tokenize=False, add_generation_prompt=True))}


class MistralPromptBuilder:
    """By `tekken.json`, whose tokenizer makes no control token of any text. It has no system message beside audio, so
    what ours says opens the user's text; a recording is filled up to whole windows and has a place for each frame.
    """

    def __init__(self, folder: Path) -> None:
        from mistral_common.protocol.instruct.chunk import AudioChunk
        from mistral_common.tokens.tokenizers.audio import Audio as MistralAudio
        from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

        self._tokenizer: Any = MistralTokenizer.from_file(str(folder / "tekken.json"))
        self._inner: Any = self._tokenizer.instruct_tokenizer
        self._encoder: Any = self._inner.audio_encoder
        short = MistralAudio(np.zeros(SAMPLE_RATE // 10, np.float32), SAMPLE_RATE, "wav")
        self._chunk = AudioChunk.from_audio(short)  # in place of the recording, whose places are counted

    def count_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return len(self._inner.tokenizer.encode(text, bos=False, eos=False))

    def build_prompt(self, messages: Messages, audio: Audio | None) -> dict[str, Any]:
        """See `PromptBuilder`."""
        from mistral_common.protocol.instruct.chunk import TextChunk
        from mistral_common.protocol.instruct.messages import AssistantMessage, UserMessage
        from mistral_common.protocol.instruct.request import ChatCompletionRequest

        turns: list[Any] = []
        opening: list[str] = []  # what the system message says
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
        asked: Any = ChatCompletionRequest(messages=turns)
        ids = self._tokenizer.encode_chat_completion(asked).tokens
        if audio is not None:
            place = self._encoder.audio_token
            first = ids.index(place)
            ids = [
                *ids[:first],
                *[place] * self._audio_token_count(len(audio)),
                *(id_ for id_ in ids[first:] if id_ != place),
            ]
        return {"prompt_token_ids": ids}

    def _audio_token_count(self, samples: int) -> int:
        config = self._encoder.audio_config
        whole = self._encoder.next_multiple_of_chunk_frames(samples, config.sampling_rate)
        return int(config.num_audio_tokens(whole))


def _content_parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def prompt_builder(folder: Path, facts: ModelFamily | None) -> PromptBuilder:
    """The folder's."""
    return (
        MistralPromptBuilder(folder) if facts and facts.uses_mistral_tokenizer else TemplatePromptBuilder(folder, facts)
    )
