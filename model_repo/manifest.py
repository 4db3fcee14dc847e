"""The manifest of one checkpoint version: what it is, what it was made from, what it accepts, and how it scored.

`model_repo/<name>/<version>/manifest.json` is this model as JSON. `MANIFEST_FORMAT` is raised when a reader of the old
format would misread the new one.
"""

from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MANIFEST_FORMAT = 1
MANIFEST_FILE = "manifest.json"


class AudioLimits(BaseModel):
    """The audio that one pass of the model takes."""

    model_config = ConfigDict(extra="forbid")

    sampling_rate: int = Field(16_000, description="Hz, mono.")
    window_seconds: float = Field(
        30.0, description="Length of the encoder's windows, in seconds. The last one is padded."
    )
    max_seconds: float = Field(
        description="Longest recording that fits into one pass beside the prompt and a full-length answer, in seconds."
    )
    note_seconds: float | None = Field(
        None,
        description="Length of the windows in which longer recordings are read, in seconds. Without it, a window is a "
        "whole pass.",
    )
    trained_seconds: float | None = Field(
        None,
        gt=0,
        description="Length that 95 % of the training recordings do not exceed, in seconds. Training writes it. A "
        "longer recording is read in windows of that length. Absent if the model was not trained on audio.",
    )


class Needs(BaseModel):
    """What a machine without a GPU must have to serve a checkpoint, as far as it was measured."""

    model_config = ConfigDict(extra="forbid")

    memory_gb: float | None = Field(None, gt=0, description="Memory of all the service's processes, in GB.")
    disk_gb: float | None = Field(
        None, gt=0, description="Disk in the cache, with the base parts, while the checkpoint is assembled, in GB."
    )


class Adapter(BaseModel):
    """What this project trained: low-rank pairs, added at `scale`, and whole tensors that replace the base's."""

    model_config = ConfigDict(extra="forbid")

    file: str = "adapter.safetensors"
    sha256: str
    scale: float = Field(description="LoRA alpha / r.")


class Figures(BaseModel):
    """Measured results, the command that produced them, and the file in the repository that holds their raw data."""

    model_config = ConfigDict(extra="allow")

    score: float = Field(
        description="Share of facts that the summaries have right, less what they invent, as a mean over the set's "
        "recordings of natural voices. `make serve` chooses the model with the highest score."
    )
    set: str = Field(
        "", description="Name and digest of the evaluation set. Figures of different sets are never compared."
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
    section_tokens: int | None = Field(
        None,
        gt=0,
        description="Only for a cascade: about how many tokens of a transcript its language model summarizes at once. "
        "A longer transcript is summarized in sections where the request allows it. Without it, in one piece.",
    )
    needs: Needs = Field(default_factory=Needs)
    default_candidate: bool = Field(
        True,
        description="Whether the service may choose this version when no model is named. False for one that is too "
        "large for two cores without a GPU.",
    )
    stage: str = Field(description="Training stage that ended in this version: base, align, sft, kd or dpo.")
    parent: str | None = Field(None, description="name@version it was trained from, if that is in the registry.")
    parent_sha256: str | None = Field(None, description="SHA-256 of the parent's weights when it was trained from it.")
    parts: dict[str, str] = Field(description="Base part → SHA-256 of its first file (see model_repo.parts).")
    beside: list[str] = Field(
        default_factory=list,
        description="Parts that are used unchanged beside the weights, such as a cascade's Whisper.",
    )
    adapter: Adapter | None = None
    weights: dict[str, str] = Field(description="File of the assembled checkpoint → SHA-256.")
    training: dict[str, Any] = Field(
        default_factory=dict,
        description="Library versions and commit of the export, and under `runs` for each stage: its config, data "
        "digests, base, initial adapters, teacher, judge, seed, library versions, commit and last log line.",
    )
    figures: Figures | None = None

    _folder: Path | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the weights, or of their digests if there are several files. A child records it of its parent."""
        digests = [sha for file, sha in sorted(self.weights.items()) if file.endswith(".safetensors")]
        return digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()

    @property
    def id(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def folder(self) -> Path:
        """The folder that the manifest was read from or written to."""
        assert self._folder is not None, "the manifest was not read from a folder"
        return self._folder

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read `manifest.json` from the folder.

        Raises:
            OSError: if the file cannot be read.
            pydantic.ValidationError: (a ValueError) if a field does not fit; the message names it.
        """
        manifest = cls.model_validate_json((folder / MANIFEST_FILE).read_bytes())
        manifest._folder = folder
        return manifest

    def write(self, folder: Path) -> None:
        """Write `manifest.json` into the folder, which is created if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST_FILE).write_text(self.model_dump_json(indent=2, exclude_none=True) + "\n")
        self._folder = folder
