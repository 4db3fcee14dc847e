"""The manifest of one checkpoint version: what it is, what it was made of, what it can take, what it scored.

`model_repo/<name>/<version>/manifest.json` is this model as JSON; `MANIFEST_FORMAT` is raised when a reader of the old
form would misread the new one.
"""

from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MANIFEST_FORMAT = 1
MANIFEST_FILE = "manifest.json"


class AudioLimits(BaseModel):
    """What one pass of the model takes."""

    model_config = ConfigDict(extra="forbid")

    sampling_rate: int = Field(16_000, description="Hz, mono.")
    window_seconds: float = Field(30.0, description="Length of the encoder's windows; the last one is padded.")
    max_seconds: float = Field(
        description="Longest recording one pass holds beside the prompt and a full-length answer."
    )
    note_seconds: float | None = Field(
        None, description="Length of the windows in which longer ones are noted down; a whole pass if left out."
    )
    trained_seconds: float | None = Field(
        None,
        gt=0,
        description="Length that 95 % of the recordings it was trained on do not exceed, written by training: what is "
        "longer is read in windows of that length. Left out where nothing was trained to hear.",
    )


class Adapter(BaseModel):
    """What this project trained: low-rank pairs, added at `scale`, and whole tensors that replace the base's."""

    model_config = ConfigDict(extra="forbid")

    file: str = "adapter.safetensors"
    sha256: str
    scale: float = Field(description="LoRA alpha / r.")


class Figures(BaseModel):
    """Measured results, the command that produced them, and the file in the repository that holds its raw result."""

    model_config = ConfigDict(extra="allow")

    score: float = Field(
        description="Facts that a summary has right, less what it invents: a mean over the set's recordings of natural "
        "voices. `make serve` chooses by it."
    )
    set: str = Field(
        "", description="What it was measured on: name and digest of the set. Figures of two sets are never compared."
    )
    command: str
    result: str


class Manifest(BaseModel):
    """One version of one checkpoint."""

    model_config = ConfigDict(extra="forbid")

    format: int = MANIFEST_FORMAT
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    kind: Literal["audio-llm", "cascade"]
    architecture: str
    description: str
    languages: list[str] = ["en"]
    license: str = "Apache-2.0"
    prompt_format: int
    context_tokens: int
    audio: AudioLimits
    stage: str = Field(description="Training stage that ended in this version: base, align, sft, kd or dpo.")
    parent: str | None = Field(None, description="name@version it was trained from, if that is in the registry.")
    parent_sha256: str | None = Field(None, description="SHA-256 of the parent's weights when it was trained from it.")
    parts: dict[str, str] = Field(description="Base part → SHA-256 of its first file (see model_repo.parts).")
    beside: list[str] = Field(
        default_factory=list, description="Parts used as they are, beside the weights: a cascade's Whisper."
    )
    adapter: Adapter | None = None
    weights: dict[str, str] = Field(description="File of the assembled checkpoint → SHA-256.")
    training: dict[str, Any] = Field(
        default_factory=dict,
        description="Library versions and commit of the export, and under `runs` of each stage: its config, data "
        "digests, base, adapters begun from, teacher, judge, seed, library versions, commit, last log line.",
    )
    figures: Figures | None = None

    _folder: Path | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the weights (of their digests, if they are several files): what a child records of its parent."""
        found = [sha for file, sha in sorted(self.weights.items()) if file.endswith(".safetensors")]
        return found[0] if len(found) == 1 else sha256("".join(found).encode()).hexdigest()

    @property
    def id(self) -> str:
        """name@version."""
        return f"{self.name}@{self.version}"

    @property
    def folder(self) -> Path:
        """The folder the manifest was read from."""
        assert self._folder is not None, "a manifest that was not read from a folder has none"
        return self._folder

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read `manifest.json`. Raises OSError, or pydantic's ValidationError (a ValueError) naming the field that
        does not fit.
        """
        manifest = cls.model_validate_json((folder / MANIFEST_FILE).read_bytes())
        manifest._folder = folder
        return manifest

    def write(self, folder: Path) -> None:
        """Write `manifest.json` into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST_FILE).write_text(self.model_dump_json(indent=2, exclude_none=True) + "\n")
        self._folder = folder
