"""vLLM in this process: one checkpoint, continuous batching, and the answers' text as it is generated.

It hides what was learned about vllm 0.32 (see the comments): which exceptions mean what, that closing the stream aborts
the request, and that loading blocks for a minute and therefore runs in a thread. Only this module, `vllm_options` and
`vllm_metrics` depend on vLLM's API. Knows nothing about audio codecs, styles or HTTP.
"""

import asyncio
import contextlib
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
from app.engine.vllm_options import (
    engine_arguments,
    max_lora_rank,
    own_adapter_folder,
    set_environment,
    vllm_sampling_params,
)
from app.settings import AdapterSettings, EngineSettings, setting_name
from app.telemetry.tracing import trace_headers
from model_repo.families import ModelFamily

OWN_ADAPTER_ID = 1 << 30  # vLLM's number of a checkpoint's own adapter; those of the others count up from 1


class VllmChatModel:
    """A `ChatModel` (see `app.engine.chat_request`) that is one vLLM engine. Several `stream` iterators may be open."""

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
        """Create the model without loading it.

        Args:
            folder: The checkpoint.
            context_tokens: Number of tokens that a prompt and its answer may have together.
            settings: The settings of the engine.
            audio: Whether the checkpoint takes a recording.
            name: The model's name in vLLM's metrics.
            adapters: How many adapters, and of which rank, the engine must have room for.
            family: The model family of a checkpoint that is not from the registry.
        """
        self._folder = folder
        self._context_tokens = context_tokens
        self._settings = settings
        self._audio = audio
        self._name = name
        self._adapters = adapters or AdapterSettings()
        self._family = family
        self._lora_rank = 0
        self._lora_by_id: dict[int, tuple[Any, TemporaryDirectory[str]]] = {}  # request and scratch folder by load id
        # The adapter that the checkpoint brings along, for prompts with audio that name no other: request and folder.
        self._own_adapter: tuple[Any, TemporaryDirectory[str]] | None = None
        self._engine: Any = None
        self._running = 0
        self._prompt_builder: PromptBuilder | None = None

    async def start(self) -> None:
        """Load the checkpoint. Raises `Unavailable` with vLLM's reason if that fails."""
        try:
            await asyncio.to_thread(self._load)
        except Exception as error:
            raise Unavailable(f"vLLM could not load {self._folder}: {error}", code="engine_failed") from error

    def _load(self) -> None:
        on_cpu = set_environment(self._settings)
        # vLLM is imported here, because the environment must be set first and importing it takes half a minute.
        import vllm

        own_adapter = own_adapter_folder(self._folder, audio=self._audio)
        self._lora_rank = max_lora_rank(self._adapters, own_adapter)
        arguments = engine_arguments(
            self._folder,
            self._context_tokens,
            self._settings,
            on_cpu=on_cpu,
            audio=self._audio,
            name=self._name,
            adapters=self._adapters,
            family=self._family,
        )
        self._prompt_builder = prompt_builder(self._folder, self._family)
        if own_adapter:
            self._own_adapter = self._prepare_own_adapter(own_adapter)
        self._engine = vllm.AsyncLLMEngine.from_engine_args(arguments)
        vllm_metrics.register_engine(self)

    @staticmethod
    def _prepare_own_adapter(folder: Path) -> tuple[Any, TemporaryDirectory[str]]:
        """Return vLLM's request for a checkpoint's own adapter, and its scratch folder. Raises `UnusableAdapter`."""
        from vllm.lora.request import LoRARequest

        scratch = TemporaryDirectory(prefix="speechsum-adapter-")
        prepared = prepare_adapter(folder, folder, Path(scratch.name))
        return LoRARequest("own", OWN_ADAPTER_ID, str(prepared)), scratch

    async def stop(self) -> None:
        """Stop the engine's process. Calling it twice does no harm."""
        engine, self._engine = self._engine, None
        if engine is not None:
            # vLLM's output task must end before the engine core does, or it reports a crash.
            if engine.output_handler is not None:
                await cancel_and_wait(engine.output_handler)
            # In a thread, because vLLM waits seconds for the process, and other models' requests would wait too.
            await asyncio.to_thread(engine.shutdown)
            vllm_metrics.unregister_engine(self)
        for _, scratch in [*self._lora_by_id.values(), *([self._own_adapter] if self._own_adapter else [])]:
            scratch.cleanup()
        self._lora_by_id.clear()
        self._own_adapter = None

    async def check_health(self) -> None:
        """Raise `EngineDead` if the engine's process has died, and `Unavailable` if it was not started."""
        if self._engine is None:
            raise not_started_error()
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            await self._engine.check_health()
        except EngineDeadError as error:
            raise EngineDead("The engine's process has died.", code="engine_dead") from error

    @property
    def running_requests(self) -> int:
        """Number of requests inside the engine now."""
        return self._running

    @property
    def context_tokens(self) -> int:
        """Number of tokens that a prompt and its answer may have together."""
        return self._context_tokens

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text. The engine must be started."""
        return self._started_prompt_builder.count_tokens(text)

    @property
    def _started_prompt_builder(self) -> PromptBuilder:
        if self._prompt_builder is None:
            raise not_started_error()
        return self._prompt_builder

    async def add_adapter(self, adapter: Adapter) -> None:
        """Load a LoRA adapter. Raises `Unprocessable` with the reason if vLLM cannot use it."""
        if self._engine is None:
            raise not_started_error()
        if not self._lora_rank:
            setting = setting_name("adapters", "rank")
            raise unusable_adapter_error(
                adapter.name, f"the model was loaded without room for adapters ({setting} is 0)"
            )
        if adapter.folder is None:
            raise unusable_adapter_error(adapter.name, "no folder is given")
        from vllm.lora.request import LoRARequest

        scratch = TemporaryDirectory(prefix="speechsum-adapter-")
        try:
            if (rank := adapter_rank(adapter.folder)) > self._lora_rank:
                raise UnusableAdapter(
                    f"its rank is {rank}, and the engine has room for {self._lora_rank} "
                    f"({setting_name('adapters', 'rank')})"
                )
            folder = await asyncio.to_thread(prepare_adapter, adapter.folder, self._folder, Path(scratch.name))
            # The name differs each time that an adapter is loaded, because vLLM finds cached prompts by it.
            request = LoRARequest(f"{adapter.name}-{adapter.load_id}", adapter.load_id, str(folder))
            await self._engine.add_lora(request)
        except Exception as error:
            scratch.cleanup()
            raise unusable_adapter_error(adapter.name, error) from error
        self._lora_by_id[adapter.load_id] = request, scratch

    async def remove_adapter(self, adapter: Adapter) -> None:
        """Unload an adapter that no running request uses."""
        _, scratch = self._lora_by_id.pop(adapter.load_id)
        if self._engine is not None:
            await self._engine.remove_lora(adapter.load_id)
        scratch.cleanup()

    def _choose_lora(self, sampling: SamplingOptions, *, has_audio: bool) -> Any:
        """Return vLLM's request for the adapter that the caller asked for, or for the checkpoint's own, or None."""
        if sampling.adapter:
            return self._lora_by_id[sampling.adapter.load_id][0]
        return self._own_adapter[0] if self._own_adapter and has_audio else None

    async def stream(
        self, messages: Messages, sampling: SamplingOptions, request_id: str, audio: Any = None
    ) -> AsyncGenerator[EngineEvent, None]:
        """Generate one answer, as `app.engine.chat_request.ChatModel.stream` says."""
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
        started_at = time.perf_counter()
        first_token_at: float | None = None
        prompt_tokens, tokens = 0, []
        reason: str | None = None
        detector = repetition_detector(sampling)
        self._running += 1
        try:
            yield StageStarted("prefill")
            lora = self._choose_lora(sampling, has_audio=audio is not None)
            generator = self._engine.generate(
                inputs,
                parameters,
                request_id=request_id,
                priority=sampling.priority,
                lora_request=lora,
                trace_headers=trace_headers() or None,
            )
            # aclosing, because a consumer that leaves must end vLLM's generator at once, and not at the next garbage
            # collection.
            async with contextlib.aclosing(generator) as outputs:
                async for output in outputs:
                    if first_token_at is None:
                        first_token_at = time.perf_counter()
                        prompt_tokens = len(output.prompt_token_ids or ())
                        yield StageStarted("decode")
                    (piece,) = output.outputs
                    tokens.extend(piece.token_ids)
                    reason = piece.finish_reason
                    if text := detector.feed(piece.text) if detector else piece.text:
                        yield TextDelta(text)
                    if detector and detector.repeated:  # leaving the block aborts the request
                        break
            if detector and (rest := detector.flush()):
                yield TextDelta(rest)
            if detector and detector.repeated:
                reason = "repetition"
        except EngineDeadError as error:
            raise EngineDead("The engine's process has died.", code="engine_dead") from error
        except (EngineGenerateError, VLLMClientError, ValueError) as error:
            raise refusal_error(str(error.__cause__ or error), self._context_tokens) from error
        finally:
            self._running -= 1
        if reason == "error" and sampling.schema:
            # The grammar rejected a token, or met a limit of its library. The same request would fail again.
            raise refusal_error(
                "the answer could not be kept to the schema; a simpler pattern may help", self._context_tokens
            )
        ended_at = time.perf_counter()
        first_token_at = first_token_at or ended_at
        seconds = {"prefill": first_token_at - started_at, "decode": ended_at - first_token_at}
        yield GenerationFinished(finish_reason(reason), prompt_tokens, len(tokens), seconds, tuple(tokens))
