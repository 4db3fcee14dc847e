"""Makes a vLLM server write the same fixed text whatever it is asked, as its option `--logits-processors` allows.

    vllm serve … --logits-processors benchmarks.forced_text:ForcedText

The engine does all its work for every token; only which token wins is decided here. So an answer has exactly as many
tokens as it may have, none of them the end, and never the repetition at which the service would stop it. Read off vLLM
0.32's interface of the first model runner (`vllm.v1.sample.logits_processor`). Knows nothing about benchmarks.
"""

import torch
from transformers import AutoTokenizer
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from benchmarks.recordings import TEXT


class ForcedText(LogitsProcessor):
    """Gives the next token of the text, again from its beginning after its end, the only finite logit."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        tokenizer = AutoTokenizer.from_pretrained(vllm_config.model_config.model)
        self._ids: list[int] = tokenizer.encode(TEXT, add_special_tokens=False)
        self._written: dict[int, list[int]] = {}  # the tokens that each row of the batch has written; vLLM extends them

    def is_argmax_invariant(self) -> bool:
        """Say that greedy sampling is changed."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow the requests as they enter, leave and change their rows."""
        process_dict_updates(self._written, batch_update, _written_tokens)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits, shape (rows, vocabulary), changed in place."""
        rows = sorted(self._written)
        columns = [self._ids[len(self._written[row]) % len(self._ids)] for row in rows]
        logits[rows] = -torch.inf
        logits[rows, columns] = 0.0
        return logits


def _written_tokens(_: SamplingParams, prompt: list[int] | None, written: list[int]) -> list[int]:
    return written
