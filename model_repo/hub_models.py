"""The models on a model hub that are served by a short name: `speechsum serve --model voxtral-mini`.

Each is a published checkpoint of a family of `model_repo.families`. Its revision is a commit, so that every machine
serves the same weights; a revision that is a branch is resolved at the first download, and the cache keeps the commit.
`model_repo.hub_download` downloads them. Knows nothing about networks.
"""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_repo.cache import cache_root
from model_repo.families import FAMILIES, ModelFamily, choose_context, max_pass_seconds

RECORD_FILE = "download.json"  # what was downloaded: commit, files, sizes and digests

# The files of a checkpoint as Transformers writes it. Never code, and never weights that are pickled.
TRANSFORMERS_FILES = ("*.json", "*.jinja", "*.txt", "model*.safetensors")
# Beside the file that vLLM reads, Mistral's repositories hold the same weights a second time.
MISTRAL_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "params.json",
    "tekken.json",
    "consolidated*.safetensors",
)


@dataclass(frozen=True)
class HubModel:
    """A published checkpoint.

    Attributes:
        name: The name that it is asked for by.
        repository: Its repository on the hub.
        revision: A full commit hash, or a branch.
        model_type: Its family in `model_repo.families`.
        license: The licence of the weights.
        files: Patterns of the files that serving needs, all of them at the top of the repository.
        context_tokens: Tokens of its whole context.
        processor_seconds: Seconds of audio that its processor takes at most, if it cuts.
        download_gb: Size of the files in gigabytes (10⁹ bytes), if it is known.
        parameters: Number of the parameters that are loaded, in 10⁹, if it is known.
        packages: Python packages that its processor imports and that not every environment has.
        note: What a user should know before downloading it.
    """

    name: str
    repository: str
    revision: str
    model_type: str
    license: str
    files: tuple[str, ...]
    context_tokens: int
    processor_seconds: float | None = None
    download_gb: float | None = None
    parameters: float | None = None
    packages: tuple[str, ...] = ()
    note: str = ""

    @property
    def family(self) -> ModelFamily:
        """The properties of its family."""
        return FAMILIES[self.model_type]

    @property
    def version(self) -> str:
        """The version that requests name: the first twelve digits of the commit, or the branch."""
        return self.revision[:12] if len(self.revision) == 40 else self.revision

    @property
    def gpu_gb(self) -> float | None:
        """Gigabytes of the weights in a GPU's memory (bfloat16)."""
        return None if self.parameters is None else 2 * self.parameters

    @property
    def cpu_gb(self) -> float | None:
        """Gigabytes of the weights in a CPU's memory (float32)."""
        return None if self.parameters is None else 4 * self.parameters

    def max_seconds(self, context_tokens: int = 0) -> float:
        """Return the length in seconds of the longest audio of one pass.

        context_tokens: tokens of a prompt and its answer; 0 uses the default. Raises `UnservableCheckpoint` if the
        model has fewer.
        """
        context = choose_context(self.name, self.context_tokens, context_tokens)
        return max_pass_seconds(self.family, context, self.processor_seconds)

    def missing_packages(self) -> list[str]:
        """Return the packages that its processor needs and that this environment does not have."""
        return [package for package in self.packages if importlib.util.find_spec(package) is None]

    def cache_folder(self, cache: Path | None = None) -> Path:
        """Return the folder of the cache that holds its downloads, one folder a commit, and the record."""
        return (cache or cache_root()) / "hub" / self.name


HUB_MODELS = {
    model.name: model
    for model in (
        HubModel(
            "voxtral-mini",
            "mistralai/Voxtral-Mini-3B-2507",
            "3060fe34b35ba5d44202ce9ff3c097642914f8f3",
            "voxtral",
            "Apache-2.0",
            MISTRAL_FILES,
            context_tokens=32_768,
            download_gb=9.4,
            parameters=4.7,
        ),
        HubModel(
            "voxtral-small",
            "mistralai/Voxtral-Small-24B-2507",
            "da5b42409f279fdd92febee0511a6c32828569c1",
            "voxtral",
            "Apache-2.0",
            MISTRAL_FILES,
            context_tokens=32_768,
            download_gb=48.5,
            parameters=24.3,
        ),
        HubModel(
            "qwen2-audio",
            "Qwen/Qwen2-Audio-7B-Instruct",
            "0a095220c30b7b31434169c3086508ef3ea5bf0a",
            "qwen2_audio",
            "Apache-2.0",
            TRANSFORMERS_FILES,
            context_tokens=8192,
            processor_seconds=30.0,
            download_gb=16.8,
            parameters=8.4,
        ),
        HubModel(
            "qwen2.5-omni-3b",
            "Qwen/Qwen2.5-Omni-3B",
            "f75b40e3da2003cdd6e1829b1f420ca70797c34e",
            "qwen2_5_omni",
            "Qwen Research License (non-commercial)",
            TRANSFORMERS_FILES,
            context_tokens=32_768,
            processor_seconds=300.0,
            download_gb=12,
            parameters=4.7,
            packages=("torchvision",),
        ),
        HubModel(
            "qwen2.5-omni-7b",
            "Qwen/Qwen2.5-Omni-7B",
            "ae9e1690543ffd5c0221dc27f79834d0294cba00",
            "qwen2_5_omni",
            "Apache-2.0",
            TRANSFORMERS_FILES,
            context_tokens=32_768,
            processor_seconds=300.0,
            download_gb=22,
            parameters=8.9,
            packages=("torchvision",),
        ),
        HubModel(
            "granite-speech-2b",
            "ibm-granite/granite-speech-3.3-2b",
            "main",
            "granite_speech",
            "Apache-2.0",
            (*TRANSFORMERS_FILES, "adapter_model.safetensors"),
            context_tokens=131_072,
            packages=("torchaudio",),
            note="Trained to transcribe and translate speech, not to summarize it.",
        ),
        HubModel(
            "granite-speech-8b",
            "ibm-granite/granite-speech-3.3-8b",
            "315afb31116c9b79dc15864d091e59ca6bf10cf9",
            "granite_speech",
            "Apache-2.0",
            (*TRANSFORMERS_FILES, "adapter_model.safetensors"),
            context_tokens=131_072,
            download_gb=17.4,
            parameters=8.7,
            packages=("torchaudio",),
            note="Trained to transcribe and translate speech, not to summarize it.",
        ),
        HubModel(
            "audio-flamingo-3",
            "nvidia/audio-flamingo-3-hf",
            "7d4bae64ee29878af6504ae6f6bb3e40492838ad",
            "audioflamingo3",
            "NVIDIA OneWay Noncommercial License",
            # The weights in pieces. The repository may hold them in one file too.
            ("*.json", "*.jinja", "*.txt", "model-*.safetensors"),
            context_tokens=32_768,
            processor_seconds=600.0,
            download_gb=16.5,
            parameters=8.3,
        ),
    )
}


def find_hub_model(name: str) -> HubModel | None:
    """Return the model for `name` or `name@version`, or None if this release lists none of that name and version."""
    bare, _, version = name.partition("@")
    model = HUB_MODELS.get(bare)
    return model if model and version in ("", model.version) else None


def downloaded_folder(model: HubModel, cache: Path | None = None) -> Path | None:
    """Return the folder of a model that is downloaded whole, or None.

    A file that was changed since its digest was verified makes the download incomplete.
    """
    record = read_record(model, cache)
    if record is None:
        return None
    folder = model.cache_folder(cache) / str(record["commit"])
    return folder if all(is_verified(folder / name, facts) for name, facts in record["files"].items()) else None


def read_record(model: HubModel, cache: Path | None = None) -> dict[str, Any] | None:
    """Return the record of the model's download, or None if there is none of this repository and revision."""
    try:
        record = dict(json.loads((model.cache_folder(cache) / RECORD_FILE).read_text()))
    except (OSError, ValueError):
        return None
    wanted = {"repository": model.repository, "revision": model.revision}
    return record if {name: record.get(name) for name in wanted} == wanted else None


def is_verified(file: Path, facts: dict[str, Any]) -> bool:
    """Return whether the file is the one whose digest was verified, as its size and time of change say."""
    try:
        found = file.stat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (facts["size"], facts.get("verified_mtime_ns"))
