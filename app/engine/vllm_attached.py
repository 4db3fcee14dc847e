"""vLLM's own engine as a chat model, where `vllm serve` runs it in this process and the service is its plugin.

The engine belongs to the server: it is neither started nor stopped here, and its metrics are the server's. Knows
nothing about HTTP or plugins.
"""

from pathlib import Path
from typing import Any

from app.engine.prompt_builder import prompt_builder
from app.engine.vllm_in_process import VllmChatModel
from app.engine.vllm_options import own_adapter_folder
from app.settings import EngineSettings
from model_repo.families import ModelFamily


class AttachedVllmChatModel(VllmChatModel):
    """A `ChatModel` (see `app.engine.chat_request`) on an engine that is already running."""

    def __init__(
        self,
        engine_client: Any,
        folder: Path,
        context_tokens: int,
        settings: EngineSettings,
        *,
        audio: bool,
        family: ModelFamily | None = None,
    ) -> None:
        """Create the model without touching the engine.

        Args:
            engine_client: vLLM's `AsyncLLM` (`vllm.engine.protocol.EngineClient`).
            folder: The checkpoint that the engine has loaded.
            context_tokens: Number of tokens that a prompt and its answer may have together; at most the engine's.
            settings: The settings of the engine.
            audio: Whether the checkpoint takes a recording.
            family: The model family of a checkpoint that is not from the registry.
        """
        super().__init__(folder, context_tokens, settings, audio=audio, family=family)
        self._engine_client = engine_client

    def _load(self) -> None:
        self._prompt_builder = prompt_builder(self._folder, self._family)
        lora = self._engine_client.vllm_config.lora_config
        self._lora_rank = lora.max_lora_rank if lora else 0
        if own_adapter := own_adapter_folder(self._folder, audio=self._audio):
            if not lora:
                raise ValueError(f"{self._folder} has an adapter of its own: start vLLM with --enable-lora")
            self._own_adapter = self._prepare_own_adapter(own_adapter)
        self._engine = self._engine_client

    async def stop(self) -> None:
        """Let go of the engine, which the server stops. Calling it twice does no harm."""
        self._engine = None
        await super().stop()
