"""The student samples behind a vLLM server, which gets the student's weights when they have changed.

`VllmRollout` is the second `Rollout`: continuous batching instead of Transformers' `generate`, on a GPU of its own. The
server is `speechsum-train serve --model BASE`. It has to be able to open the folder through which it gets the weights,
and loads them by `reload_weights`, a call of vLLM's development mode. This works on CPU and GPU, whatever is trained.
vLLM's LoRA adapters would not do: vLLM refuses or ignores them on the projector.

The server builds the prompt itself, so its token ids are compared with the student's, and a difference is an error. The
answer's ids are the sampled ones, never text that was tokenized again. Knows nothing about teachers.
"""

import argparse
import base64
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import torch
from transformers import TrainerCallback

from app.core.audio.wav import encode_wav
from app.core.vllm_http import NEUTRAL_SAMPLING, error_message, insert_audio
from training.data.answer_limit import answer_limit_within
from training.data.audio import read_audio
from training.data.record import Record
from training.kd.rollout import (
    Answer,
    Questions,
    Rollout,
    TransformersRollout,
    collate_questions,
    truncate_at_end,
)
from training.kd.weight_sync import MergedCopy, copy_companions, write_weights
from training.llm.endpoint import vllm_client
from training.models.collate import AudioCollator, Collator
from training.runtime import distributed

NEVER_LOGIT_BIAS = -100.0  # the API's lowest bias: the token is never sampled


class RolloutError(RuntimeError):
    """The server that samples failed or gave an unusable answer. The message quotes it."""


@dataclass
class VllmRollout:
    """Samples the student's answers from a vLLM server.

    Attributes:
        client: has the server's address and a time-out.
        model: the model's name on the server.
        collator, temperature, forbidden_ids, max_answer_tokens: see `training.kd.rollout.TransformersRollout`.
        folder: folder through which the server gets the weights, which are deleted afterwards. None is the system's
            temporary folder.
        dtype: number format of these weights.
        concurrency: requests open at once.
        has_weights: whether the server has had any weights of this student.
        message_form: index of the form of the messages that the server needs, once it is known.
    """

    client: httpx.Client
    model: str
    collator: AudioCollator
    temperature: float = 1.0
    forbidden_ids: list[int] = field(default_factory=list)
    folder: Path | None = None
    dtype: torch.dtype = torch.float32
    concurrency: int = 64
    max_answer_tokens: int = 0
    has_weights: bool = False
    _temporary: tempfile.TemporaryDirectory[str] | None = None
    message_form: int | None = None

    def sync_weights(self, model: Any) -> None:
        """Give the server the student's weights, and clear its caches. No request may be open.

        Raises RolloutError if the server refuses.
        """
        folder = self._weights_folder()
        try:
            write_weights(model, folder, self.dtype)
            self._post("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}})
        finally:
            for file in folder.glob("*.safetensors"):
                file.unlink()
        if self._post("/reset_prefix_cache").get("success") is not True:
            raise RolloutError(
                "the server could not clear its prefix cache after new weights: has it requests of other clients?"
            )
        self._post("/reset_encoder_cache")
        self.has_weights = True

    def _weights_folder(self) -> Path:
        """Return the folder through which the server gets the weights. It lasts as long as this object, because the
        server may look for the checkpoint's small files there.
        """
        if self._temporary is None:
            if self.folder:
                self.folder.mkdir(parents=True, exist_ok=True)
            self._temporary = tempfile.TemporaryDirectory(prefix="student-", dir=self.folder)
            folder = Path(self._temporary.name)
            folder.chmod(0o755)  # the server may run as another user
            if self.collator.checkpoint_folder:
                copy_companions(self.collator.checkpoint_folder, folder)
        return Path(self._temporary.name)

    def sample(self, model: Any, records: Sequence[Record], questions: Questions | None = None) -> list[Answer]:
        """Return one answer to each record, sampled with the weights that the server got last. If it has had none, it
        gets those of the model first.
        """
        if not self.has_weights:
            self.sync_weights(model)
        questions = questions or collate_questions(self.collator, records)
        rows = zip(questions["input_ids"], questions["attention_mask"], strict=True)
        prompts = [ids[mask.bool()].tolist() for ids, mask in rows]
        if self.message_form is None:
            self.message_form = 0
            if len(self._message_forms()) > 1 and records:
                self._find_message_form(records[0], prompts[0])
        # Checkpoints keep torch's random state, so a run that continues samples what it would have sampled.
        seeds = torch.randint(2**31, (len(records),)).tolist()
        with ThreadPoolExecutor(self.concurrency) as pool:
            return list(pool.map(self._ask, records, prompts, seeds))

    def _message_forms(self) -> list[Callable[[str], list[dict[str, Any]]]]:
        """Return the forms of the messages that servers of the family may need, depending on their chat template."""
        return [partial(form, self.collator.processor) for form in self.collator.family.message_forms]

    def _find_message_form(self, record: Record, prompt: list[int]) -> None:
        """Find the form of the messages that gives the student's prompt, by a request of one token for each form."""
        for form in range(len(self._message_forms())):
            self.message_form = form
            try:
                if self._request_completion(record, 0, max_answer_tokens=1).get("prompt_token_ids") == prompt:
                    return
            except RolloutError:
                continue  # the chat template refuses this form
        self.message_form = 0  # its difference is then the error

    def _ask(self, record: Record, prompt: list[int], seed: int) -> Answer:
        end = self.collator.tokenizer.eos_token_id
        response = self._request_completion(record, seed)
        (choice,) = response["choices"]
        if (server_prompt := response.get("prompt_token_ids")) != prompt:
            raise RolloutError(_prompt_difference(record, prompt, server_prompt))
        answer = truncate_at_end(choice["token_ids"], end)
        if sampled_forbidden := set(answer.ids) & set(self.forbidden_ids):
            raise RolloutError(
                f"{record.id}: the server answered with the forbidden tokens {sorted(sampled_forbidden)}"
            )
        if not answer.ids:
            raise RolloutError(f"{record.id}: the server answered nothing: {choice}")
        log_probabilities = [token["logprob"] for token in choice["logprobs"]["content"]]
        return Answer(answer.ids, answer.is_complete, log_probabilities[: len(answer.ids)])

    def _request_completion(self, record: Record, seed: int, max_answer_tokens: int = 0) -> dict[str, Any]:
        """Return the server's completion. max_answer_tokens: 0 leaves it to the record."""
        end = self.collator.tokenizer.eos_token_id
        return self._post(
            "/v1/chat/completions",
            {
                "model": self.model,
                "messages": _audio_messages(record, self._message_forms()[self.message_form or 0]),
                "max_completion_tokens": max_answer_tokens or answer_limit_within(record, self.max_answer_tokens),
                "temperature": self.temperature,
                "seed": seed,
                **NEUTRAL_SAMPLING,
                "logit_bias": {str(token): NEVER_LOGIT_BIAS for token in self.forbidden_ids},
                # Only the end of the turn ends an answer, as in this process, and no other token of the checkpoint's.
                "stop_token_ids": [end],
                "ignore_eos": True,
                "return_token_ids": True,
                "logprobs": True,
            },
        )

    def _post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        where = f"{self.client.base_url}{path.removeprefix('/')}"
        try:
            response = self.client.post(path, json=body)
        except httpx.HTTPError as error:
            raise RolloutError(f"{where}: {error}") from error
        if response.status_code == 404:
            raise RolloutError(f"{where} does not exist: was the server started by `speechsum-train serve`?")
        if response.status_code != 200:
            raise RolloutError(f"{where} answered {response.status_code}: {error_message(response.content)}")
        return response.json() if response.content else {}


def _audio_messages(record: Record, form: Callable[[str], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the prompt's messages, with the recording as 32-bit float WAV: the same samples that the student gets."""
    return insert_audio(form(record.query), base64.b64encode(encode_wav(read_audio(record))).decode())


def _prompt_difference(record: Record, ours: list[int], theirs: list[int] | None) -> str:
    if theirs is None:
        return f"{record.id}: the server returned no prompt_token_ids: is it a vLLM server?"
    same = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
    where = f"they differ first at {same}" if same is not None else "one is the other's beginning"
    return (
        f"{record.id}: the server read {len(theirs)} prompt tokens, the student {len(ours)}, and {where}: "
        "does it serve the folder that is --base here, and was it started by `speechsum-train serve`?"
    )


def off_policy_gap(logits: torch.Tensor, answers: Sequence[Answer]) -> float | None:
    """Return the mean absolute difference between the tokens' log-probabilities when they were sampled and now, or None
    if the former are not known. 0 is on policy. Rounding gives about 1e-3; weights that the server did not load give
    far more.

    logits: what `answer_logits` returns, of shape (tokens of all answers, vocabulary).
    """
    if any(answer.log_probabilities is None for answer in answers):
        return None
    ids = torch.tensor([token for answer in answers for token in answer.ids], device=logits.device)
    sampled_at = torch.tensor(
        [value for answer in answers for value in answer.log_probabilities or ()], device=logits.device
    )
    with torch.no_grad():
        now = logits.gather(-1, ids[:, None])[:, 0].float() - logits.float().logsumexp(-1)
        return float((now - sampled_at).abs().mean())


class WeightSyncCallback(TrainerCallback):
    """Gives the server the student's weights before the first step and after every `every` steps."""

    def __init__(self, rollout: VllmRollout, model: Any, every: int) -> None:
        if every < 1:
            raise ValueError(f"--sync-every is {every}; it has to be at least 1")
        self.rollout, self.model, self.every_steps = rollout, model, every

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Give the server the student's weights."""
        self.rollout.sync_weights(self.model)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Give the server the student's weights, if it is due and another step follows."""
        if state.global_step % self.every_steps == 0 and state.global_step < state.max_steps:
            self.rollout.sync_weights(self.model)


def make_rollout(
    collator: Collator,
    temperature: float,
    url: str | None,
    folder: Path | None,
    use_bfloat16: bool = False,
    all_processes: bool = False,
    max_answer_tokens: int = 0,
    use_merged_copy: bool = False,
    forbidden_ids: Sequence[int] | None = None,
) -> Rollout:
    """Return a `VllmRollout` for the server at the URL, or a `TransformersRollout` if there is no URL.

    Args:
        folder: see `VllmRollout`.
        use_bfloat16: whether the server's weights, or those of the merged copy, are bfloat16 instead of float32.
        all_processes, max_answer_tokens: see `TransformersRollout`.
        use_merged_copy: whether a copy with merged LoRA weights samples.
        forbidden_ids: token ids that no answer may hold. None are the collator's placeholders.

    Raises ValueError for arguments that exclude one another, and RolloutError if the server lists no model.
    """
    dtype = torch.bfloat16 if use_bfloat16 else torch.float32
    never = list(collator.placeholder_ids if forbidden_ids is None else forbidden_ids)
    if use_merged_copy and (url or distributed.parameters_are_sharded()):
        raise ValueError("--rollout-copy needs sampling in this process (no --rollout) and a model that is not sharded")
    if url is None:
        copy = MergedCopy(dtype) if use_merged_copy else None
        return TransformersRollout(collator, temperature, never, all_processes, max_answer_tokens, copy)
    if not isinstance(collator, AudioCollator):
        raise ValueError("--rollout works with audio models only; a text model samples without it")
    if why := collator.family.weight_sync_refusal:
        raise ValueError(f"--rollout: {why}; sample without it")
    client = vllm_client(url)
    try:
        name = client.get("/v1/models").raise_for_status().json()["data"][0]["id"]
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise RolloutError(f"{url}: the server that samples lists no model: {error!r}") from error
    return VllmRollout(client, name, collator, temperature, never, folder, dtype, max_answer_tokens=max_answer_tokens)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that samples."""
    parser.add_argument(
        "--rollout",
        help="Address of a server that samples instead of this process: `speechsum-train serve --model BASE`.",
    )
    parser.add_argument(
        "--rollout-folder",
        type=Path,
        help="Folder through which the server gets the weights; both must open it [the system's temporary folder].",
    )


def add_rollout_copy_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option of the commands that sample from a student with LoRA."""
    parser.add_argument(
        "--rollout-copy",
        action="store_true",
        help="Sample from a copy with merged LoRA weights: faster, for the memory of a second model.",
    )
