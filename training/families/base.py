"""What a model family says about itself, with the answers that most families share.

Transformers has one set of names for a model's parameters; the tensors in a checkpoint's files, which vLLM reads, have
another. `parameter_prefixes` maps the first to the second, prefix by prefix. Knows nothing about records, losses or how
a folder is written.
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
    """The model cannot be asked this. The message says why, `reason` says it in a word or two, and the caller adds the
    record.
    """

    def __init__(self, message: str, reason: str = "unusable") -> None:
        super().__init__(message)
        self.reason = reason


class Family:
    """A family of audio models. Subclasses override what is different in theirs.

    Attributes:
        model_type: in `config.json`.
        transformers_model_type: that of the opened model, if it is another.
        takes_audio: False for a text model.
        parameter_prefixes: Transformers' prefixes of names with those in the checkpoint's files, longest first.
        language_model: prefix of the language model in Transformers.
        projector: prefixes of Transformers' parameters that are trained whole.
        projections: linear layers of the language model that get LoRA.
        encoder_lora_targets: pattern of the encoder's linear layers that may get LoRA, or None if it is never trained.
        model_inputs: tensors of the processor that the model gets beside ids and their mask.
        end_of_turn: the token that ends an answer, if it is not the tokenizer's end token.
        derived_files: weight files that `write_vllm_files` writes.
        weight_files: beginning of the names of the weight files that vLLM loads.
        unsynced_prefixes: prefixes, in vLLM, of tensors that are never trained and that a running server does not get
            again, because vLLM 0.32 corrupts them when it loads them a second time.
        weight_sync_refusal: why a running server cannot load other weights at all, or None if it can.
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
        """What serving has to know about the family, or None for a text model."""
        return FAMILIES.get(self.model_type)

    def checkpoint_name(self, name: str) -> str:
        """Return the name in the checkpoint's files of a Transformers parameter."""
        for ours, theirs in self.parameter_prefixes:
            if name.startswith(ours):
                return theirs + name.removeprefix(ours)
        return name

    def name_from_text_model(self, name: str) -> str:
        """Return the name in this family's files of a text model's tensor, given the name in the text model's files.
        Other names are returned unchanged.
        """
        if self.takes_audio and name.startswith("model."):
            return self.checkpoint_name(self.language_model + name.removeprefix("model."))
        return name

    @property
    def lora_targets(self) -> str:
        """Pattern of the modules that get LoRA: all projections of the language model and none of the encoder."""
        return rf"{re.escape(self.language_model)}layers\.\d+\.\w+\.({'|'.join(self.projections)})"

    def is_projector(self, name: str) -> bool:
        """Return whether a Transformers parameter belongs to the projector between encoder and language model."""
        return name.startswith(self.projector)

    def open(self, folder: Path, dtype: torch.dtype) -> Any:
        """Return the Transformers model. Raises ValueError if tensors are missing or do not belong to it."""
        import transformers

        config = transformers.AutoConfig.from_pretrained(folder)
        # Not every audio architecture is in an auto class, so the class is the one that the configuration names.
        model_class = getattr(transformers, config.architectures[0])
        model, info = model_class.from_pretrained(folder, dtype=dtype, output_loading_info=True)
        wrong = {k: v for k, v in info.items() if v and k != "error_msgs"}
        if wrong:
            raise ValueError(f"{folder} does not fit {config.architectures[0]}: {wrong}")
        return model

    def tokenizer(self, folder: Path) -> Any:
        """Return the checkpoint's tokenizer, with the token that ends an answer as its end token."""
        from transformers import AutoTokenizer

        return self.set_end_token(AutoTokenizer.from_pretrained(folder))

    def processor(self, folder: Path) -> Any:
        """Return the checkpoint's processor, with a tokenizer like that of `tokenizer`."""
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(folder)
        self.set_end_token(processor.tokenizer)
        return processor

    def set_end_token(self, tokenizer: Any) -> Any:
        """Set the tokenizer's end token to the family's end of turn, and a padding token if it has none. Return it."""
        if self.end_of_turn:
            tokenizer.eos_token = self.end_of_turn
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token  # padding is masked, so any token will do
        return tokenizer

    def placeholder_id(self, processor: Any) -> int:
        """Return the id of the token that stands for audio."""
        return int(processor.tokenizer.convert_tokens_to_ids(processor.audio_token))

    def max_audio_seconds(self, processor: Any) -> float:
        """Return the longest audio of a question, in seconds. The number of its tokens is limited separately."""
        if self.serving_facts is None or self.serving_facts.max_seconds_setting is None:
            return float("inf")
        name, default = self.serving_facts.max_seconds_setting
        return float(getattr(processor, name, None) or getattr(processor.feature_extractor, name, None) or default)

    def messages(self, query: str) -> list[dict[str, Any]]:
        """Return the messages of a question, with `{"type": "audio"}` in the place of the recording."""
        return audio_messages(query)

    @property
    def message_forms(self) -> list[Callable[[Any, str], list[dict[str, Any]]]]:
        """Forms of a question's messages for a vLLM server, of which one gives the prompt that is trained on. Which one
        depends on the checkpoint's chat template. Most templates take the parts of a message and add the placeholder
        themselves; if a template takes text only, vLLM needs the placeholder in the text.
        """

        def parts(_processor: Any, query: str) -> list[dict[str, Any]]:
            return self.messages(query)

        def text(_processor: Any, query: str) -> list[dict[str, Any]]:
            *before, last = template_messages(self.messages(query), self.serving_facts)
            return [*before, last | {"content": [{"type": "audio"}, {"type": "text", "text": last["content"]}]}]

        return [parts, text] if self.serving_facts and self.serving_facts.audio_placeholder else [parts]

    def vllm_tensor(self, name: str, value: torch.Tensor, config: Any) -> tuple[str, torch.Tensor] | None:
        """Return name and value in vLLM of a tensor in the checkpoint's files, or None if vLLM computes the tensor
        itself.

        config: the opened model's. Raises ValueError for a tensor that vLLM cannot load.
        """
        return name, value

    def prompt(self, processor: Any, query: str) -> str:
        """Return the rendered prompt with one audio placeholder, as the engine gets it."""
        messages = template_messages(self.messages(query), self.serving_facts)
        return str(processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def encode_question(
        self, processor: Any, query: str, samples: NDArray[np.float32]
    ) -> tuple[list[int], dict[str, torch.Tensor]]:
        """Return the question's ids, with one placeholder for each frame of the audio, and the model's further inputs.

        samples: mono at 16 kHz, float32. Raises InvalidQuestion if the model cannot be asked this.
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
        """Return the processor's tensors for one prompt and one recording."""
        return processor(text=[prompt], audio=[samples], return_tensors="pt")

    def join_inputs(self, rows: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Return the model's further inputs for several questions as one batch. They are concatenated along the first
        dimension (a long recording has several windows), after padding with zeros to the size of the largest.
        """
        return {name: torch.cat(_pad_to_largest([row[name] for row in rows])) for name in rows[0]}

    def write_vllm_files(self, folder: Path) -> None:
        """Write the files that vLLM loads instead of the checkpoint's weights, if the family needs any. Raises
        ValueError for weights that have no place in them.
        """


def keep_in_eval_mode(frozen: Any) -> None:
    """Keep a frozen module in evaluation mode even if the trainer calls `train`: without dropout, and with batch
    normalization by the learned statistics.
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
