"""What a model family has to say about itself, with the answers most of them share.

Two sets of names meet here. Transformers names a model's parameters in one way; the tensors in a checkpoint's files,
which vLLM reads, are named in another. `names` maps the first to the second, prefix by prefix. Knows nothing about
records, losses or how a folder is written.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from app.core.prompts import audio_messages
from model_repo.families import FAMILIES, ModelFamily, template_messages
from training.data.audio import SAMPLING_RATE

TEXT_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class InvalidQuestion(ValueError):
    """A question that the model cannot be given; the message says why, `reason` in a word or two, the caller which
    record.
    """

    def __init__(self, message: str, reason: str = "unusable") -> None:
        super().__init__(message)
        self.reason = reason


class Family:
    """A family of models that hear; subclasses say what differs.

    model_type: in `config.json`. opened_as: the opened model's own, where that is another. hears: False for a text
    model. names: Transformers' parameter prefixes → those in the checkpoint's files, longest first. language_model:
    where Transformers keeps the language model. projector: prefixes of Transformers' parameters that train whole.
    projections: linear layers of the language model that get LoRA. encoder: pattern of those of the encoder that may
    get it too; None where the encoder stays as it is. tensors: what the processor makes for the model besides ids and
    their mask. end_of_turn: the token that ends an answer, where it is not the tokenizer's own end. derived: weight
    files that `serve` writes anew. weight_files: how the names of the weight files that vLLM loads begin. kept:
    prefixes, as vLLM loads them, of what never trains and a running server keeps, because vLLM 0.32 spoils it when it
    loads it a second time. not_handed: why a running server cannot be given other weights at all, if so.
    """

    model_type: ClassVar[str]
    transformers_model_type: ClassVar[str | None] = None
    takes_audio: ClassVar[bool] = True
    parameter_prefixes: ClassVar[tuple[tuple[str, str], ...]] = (
        ("model.language_model.", "language_model.model."),
        ("lm_head.", "language_model.lm_head."),
        ("model.", ""),
    )
    language_model: ClassVar[str] = "model.language_model."
    projector: ClassVar[tuple[str, ...]] = ("model.multi_modal_projector.",)
    projections: ClassVar[tuple[str, ...]] = TEXT_PROJECTIONS
    encoder_lora_targets: ClassVar[str | None] = None
    model_inputs: ClassVar[tuple[str, ...]] = ("input_features", "input_features_mask")
    end_of_turn: ClassVar[str | None] = None
    derived_files: ClassVar[tuple[str, ...]] = ()
    weight_files: ClassVar[str] = "model"
    unsynced_prefixes: ClassVar[tuple[str, ...]] = ()
    weight_sync_refusal: ClassVar[str | None] = None

    @property
    def serving_facts(self) -> ModelFamily | None:
        """What serving has to know of it as well; nothing of a text model."""
        return FAMILIES.get(self.model_type)

    def checkpoint_name(self, name: str) -> str:
        """A Transformers parameter's name in the checkpoint's files."""
        for ours, theirs in self.parameter_prefixes:
            if name.startswith(ours):
                return theirs + name.removeprefix(ours)
        return name

    def name_from_text_model(self, name: str) -> str:
        """Where a text model's tensor, named as in its own files, lies in this family's; others come back as given."""
        if self.takes_audio and name.startswith("model."):
            return self.checkpoint_name(self.language_model + name.removeprefix("model."))
        return name

    @property
    def lora_targets(self) -> str:
        """Pattern of the modules that get LoRA: every projection of the language model, none of the encoder's."""
        return rf"{re.escape(self.language_model)}layers\.\d+\.\w+\.({'|'.join(self.projections)})"

    def is_projector(self, name: str) -> bool:
        """Whether a Transformers parameter is of what lies between encoder and language model."""
        return name.startswith(self.projector)

    def open(self, folder: Path, dtype: torch.dtype) -> Any:
        """The Transformers model, nothing missing and nothing left over. Raises ValueError otherwise."""
        import transformers

        config = transformers.AutoConfig.from_pretrained(folder)
        # Not every audio architecture is in an auto class: take the one the config names.
        model_class = getattr(transformers, config.architectures[0])
        model, info = model_class.from_pretrained(folder, dtype=dtype, output_loading_info=True)
        wrong = {k: v for k, v in info.items() if v and k != "error_msgs"}
        if wrong:
            raise ValueError(f"{folder} does not fit {config.architectures[0]}: {wrong}")
        return model

    def tokenizer(self, folder: Path) -> Any:
        """The checkpoint's tokenizer, whose end token ends an answer."""
        from transformers import AutoTokenizer

        return self.set_end_token(AutoTokenizer.from_pretrained(folder))

    def processor(self, folder: Path) -> Any:
        """The checkpoint's processor, its tokenizer as `tokenizer` gives it."""
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(folder)
        self.set_end_token(processor.tokenizer)
        return processor

    def set_end_token(self, tokenizer: Any) -> Any:
        """The tokenizer with the family's end of turn as its end token, and something to pad with."""
        if self.end_of_turn:
            tokenizer.eos_token = self.end_of_turn
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token  # what is padded is masked, so that any token will do
        return tokenizer

    def placeholder_id(self, processor: Any) -> int:
        """The token that stands for audio."""
        return int(processor.tokenizer.convert_tokens_to_ids(processor.audio_token))

    def max_audio_seconds(self, processor: Any) -> float:
        """Seconds of audio that one question may hold; the tokens it may hold set a limit of their own."""
        if self.serving_facts is None or self.serving_facts.max_seconds_setting is None:
            return float("inf")
        name, default = self.serving_facts.max_seconds_setting
        return float(getattr(processor, name, None) or getattr(processor.feature_extractor, name, None) or default)

    def messages(self, query: str) -> list[dict[str, Any]]:
        """The question's messages, `{"type": "audio"}` where the recording stands."""
        return audio_messages(query)

    @property
    def message_forms(self) -> list[Callable[[Any, str], list[dict[str, Any]]]]:
        """Ways to send a question to a vLLM server, of which one gives the prompt that is trained on. It depends on the
        chat template that the checkpoint brings: most take a message's parts, and set the placeholder themselves; where
        a template takes texts alone, vLLM wants the placeholder in the text.
        """

        def parts(_processor: Any, query: str) -> list[dict[str, Any]]:
            return self.messages(query)

        def text(_processor: Any, query: str) -> list[dict[str, Any]]:
            *before, last = template_messages(self.messages(query), self.serving_facts)
            return [*before, last | {"content": [{"type": "audio"}, {"type": "text", "text": last["content"]}]}]

        return [parts, text] if self.serving_facts and self.serving_facts.audio_placeholder else [parts]

    def vllm_tensor(self, name: str, value: torch.Tensor, config: Any) -> tuple[str, torch.Tensor] | None:
        """A tensor of the checkpoint's files as vLLM loads it, by its name there; None for one that vLLM works out.

        config: the opened model's. Raises ValueError for a tensor that has no place there.
        """
        return name, value

    def prompt(self, processor: Any, query: str) -> str:
        """The rendered prompt with one placeholder, as the engine gets it."""
        messages = template_messages(self.messages(query), self.serving_facts)
        return str(processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def encode_question(
        self, processor: Any, query: str, samples: NDArray[np.float32]
    ) -> tuple[list[int], dict[str, torch.Tensor]]:
        """The question's ids with a place for each frame of the audio, and what else the model is given.

        samples: mono at 16 kHz. Raises `InvalidQuestion`.
        """
        if len(samples) > (longest := self.max_audio_seconds(processor)) * SAMPLING_RATE:
            raise InvalidQuestion(
                f"{len(samples) / SAMPLING_RATE:.1f} s of audio, the model takes {longest:g} s", "too long"
            )
        if (prompt := self.prompt(processor, query)).count(processor.audio_token) != 1:
            raise InvalidQuestion("the query holds the audio placeholder", "placeholder")
        one = self.run_processor(processor, prompt, samples)
        ids = one["input_ids"][0].tolist()
        if self.placeholder_id(processor) not in ids:
            raise InvalidQuestion(f"{len(samples)} samples of audio are too few for one encoder frame", "too short")
        return ids, {name: one[name] for name in self.model_inputs}

    def run_processor(self, processor: Any, prompt: str, samples: NDArray[np.float32]) -> Any:
        """The processor's tensors for one prompt and one recording."""
        return processor(text=[prompt], audio=[samples], return_tensors="pt")

    def join_inputs(self, rows: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """What else the model is given, for several questions at once: one after another (a long recording has several
        windows), each filled up with zeros to the size of the largest.
        """
        return {name: torch.cat(_pad_to_largest([row[name] for row in rows])) for name in rows[0]}

    def write_vllm_files(self, folder: Path) -> None:
        """Put beside a checkpoint's weights what vLLM loads in their place; most need nothing. Raises ValueError."""


def keep_in_eval_mode(frozen: Any) -> None:
    """Keep a frozen module as it is when it serves, whatever the trainer says: no dropout, and a batch normalized by
    what was learned, not by itself.
    """
    frozen.eval()
    frozen.train = lambda mode=True: frozen


def _pad_to_largest(values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    largest = [max(sizes) for sizes in zip(*(value.shape[1:] for value in values), strict=True)]
    out = []
    for value in values:
        missing = [amount for size, want in zip(value.shape[1:], largest, strict=True) for amount in (want - size, 0)]
        out.append(torch.nn.functional.pad(value, missing[::-1]) if any(missing) else value)
    return out
