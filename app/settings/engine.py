"""Settings of the engine: how it runs the model, vLLM servers that run it elsewhere, and LoRA adapters."""

from typing import Literal

from pydantic import Field, SecretStr, field_validator

from app.setting_types import CommaSeparated, normalize_urls, parse_pair
from app.settings.section import Section


class EngineSettings(Section):
    """How the engine runs the model."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Device that the model runs on. `auto` is the one that vLLM was built for."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of the weights and activations. `auto` is float32 on a CPU and bfloat16 on a GPU. "
        "A CPU without instructions for bfloat16 is slow with it. A CPU that has them is quicker than with float32, "
        "and an answer may be in other words when the service is busy.",
    )
    enforce_eager: bool | None = Field(
        None,
        description="Skip compilation: the engine starts sooner and runs slower. Empty means true on a CPU and false "
        "on a GPU.",
    )
    kv_cache_gib: float = Field(1, gt=0, description="Size of the key-value cache on a CPU, in GiB.")
    gpu_memory_utilization: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Share of the GPU's memory that one model takes. Several models on one GPU need 0.45 or less each.",
    )
    tensor_parallel_size: int = Field(
        1,
        ge=1,
        description="GPUs that hold one copy of the model together, each a part of every layer. For a model that does "
        "not fit one GPU.",
    )
    data_parallel_size: int = Field(
        1,
        ge=1,
        description="Copies of the model that one engine runs, each on `ENGINE__TENSOR_PARALLEL_SIZE` GPUs of its own.",
    )
    max_num_seqs: int = Field(
        32,
        ge=1,
        description="Summaries that a model generates at the same time, over all its servers together. More wait.",
    )
    context_tokens: int = Field(
        0,
        ge=0,
        description="Tokens that a prompt and its answer may have together in a model from a folder. 0 uses the "
        "model's own context length, up to 32768.",
    )
    threads: int = Field(
        0, ge=0, description="Threads that the model computes with on a CPU. 0 uses one for each core."
    )
    restarts: int = Field(
        3,
        ge=0,
        description="Times in a row that an engine is started again after its process has died, after 1, 2, 4 … "
        "seconds. One that has lived for a minute starts the count anew. After the last time, `/livez` fails, so that "
        "a supervisor restarts the service. 0 leaves it to the supervisor at once.",
    )


class RemoteSettings(Section):
    """vLLM servers that run the model, instead of the engine in this process."""

    urls: CommaSeparated[str] = Field(
        default_factory=list,
        description="Addresses of vLLM servers, separated by commas: `http://gpu-1:8001,http://gpu-2:8001`. Empty runs "
        "the models in this process. With several models, each is requested from the servers that list it.",
    )
    models: CommaSeparated[str] = Field(
        default_factory=list,
        description="Servers of one model alone, in place of `urls`: one entry for each server, separated by commas, "
        "such as `speechsum-tiny@5=http://gpu-3:8001`. A model is `name` or `name@version`.",
    )
    api_key: SecretStr | None = Field(
        None, description="API key of the servers (vLLM's option `--api-key`), if they require one."
    )
    connect_seconds: float = Field(
        5,
        gt=0,
        description="Longest time to connect to a server, in seconds. After that the request goes to another server.",
    )
    idle_seconds: float = Field(
        600,
        gt=0,
        description="Longest silence of a server during a request, in seconds. Waiting in the server's queue counts.",
    )
    health_seconds: float = Field(5, gt=0, description="Time between two health checks of a server, in seconds.")
    health_timeout_seconds: float = Field(
        10,
        gt=0,
        description="Longest time of a health check, in seconds. A server that exceeds it twice in a row and generates "
        "nothing gets no requests.",
    )
    start_seconds: float = Field(
        900, gt=0, description="Longest wait for the first server when the service starts, in seconds."
    )

    @field_validator("urls")
    @classmethod
    def _normalize_urls(cls, urls: list[str]) -> list[str]:
        return normalize_urls(urls)

    @field_validator("models")
    @classmethod
    def _validate_model_servers(cls, entries: list[str]) -> list[str]:
        for name in {parse_pair(entry)[0] for entry in entries}:
            normalize_urls([url for one, url in map(parse_pair, entries) if one == name])
        return entries

    def model_urls(self, name: str, version: str) -> list[str]:
        """Return the addresses of the servers that may run this version of a model.

        Entries of `models` for `name@version` go before those for `name`, and these before `urls`.
        """
        for model in (f"{name}@{version}", name):
            if own := [url for one, url in map(parse_pair, self.models) if one == model]:
                return normalize_urls(own)
        return self.urls


class AdapterSettings(Section):
    """LoRA adapters on the language model. A request chooses one by its `model`."""

    served: CommaSeparated[str] = Field(
        default_factory=list,
        description="Adapters to load with the model: `name=folder`, separated by commas. A folder is as PEFT saves "
        "it. If vLLM servers run the model, give the names alone.",
    )
    rank: int = Field(
        0,
        ge=0,
        description="Highest LoRA rank of an adapter. 0 uses the highest rank of the adapters that are loaded with the "
        "model. If there are none, no adapter can be loaded later either.",
    )
    at_once: int = Field(
        4,
        ge=1,
        description="Adapters that the engine may use at the same time. Requests for further adapters wait.",
    )

    @field_validator("served")
    @classmethod
    def _validate_names(cls, entries: list[str]) -> list[str]:
        names = [parse_pair(entry)[0] for entry in entries]
        if "@" in "".join(names) or len(set(names)) < len(names):
            raise ValueError("the name of an adapter must not contain @ and must be listed only once")
        return entries
