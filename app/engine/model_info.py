"""The facts about one model that the path of a request and `GET /v1/models` need.

They are read from a registry manifest, or given by hand if there is none (tests, the scripted engine). Knows nothing
about weights, engines or HTTP.
"""

from dataclasses import dataclass, field
from typing import Any

from model_repo.families import CheckpointFolder
from model_repo.hub_models import HubModel
from model_repo.manifest import MANIFEST_FILE, Manifest

CASCADE = "cascade"  # the kind of a model that reads a transcript, which a recognizer writes
AS_PUBLISHED = "base"  # the stage of a manifest whose model was not trained here
LOCAL_VERSION = "local"  # the version of a model from a folder, which has none


@dataclass(frozen=True)
class ModelInfo:
    """A model's name and limits.

    Attributes:
        name: The name in the registry.
        version: The version in the registry.
        kind: "audio-llm", "cascade" or "scripted".
        max_seconds: Length of the longest recording that the model can read in one pass.
        note_seconds: Length of the windows on which notes are taken. 0 means as long as a pass.
        trained_seconds: Length of the recordings that the model was trained on. A longer recording is read in windows.
            0 means unknown.
        window_seconds: Length of one window of the audio encoder.
        sampling_rate: In Hz.
        languages: BCP 47 tags of the languages that the model was trained to write.
        architecture: The architecture's name, if it is known.
        description: A sentence for people.
        license: The licence of the weights.
        prompt_format: Version of the prompts that the model was trained on.
        stage: The training stage that made it, or "base".
        trained: Whether it was trained on this service's prompts.
        parent: The model that it was trained from.
        figures: Its results in the evaluation.
        created: Unix seconds.
    """

    name: str
    version: str
    kind: str
    max_seconds: float
    note_seconds: float = 0.0
    trained_seconds: float = 0.0
    window_seconds: float = 30.0
    sampling_rate: int = 16_000
    languages: tuple[str, ...] = ("en",)
    architecture: str | None = None
    description: str = ""
    license: str | None = None
    prompt_format: int | None = None
    stage: str | None = None
    trained: bool = True
    parent: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    created: int = 0

    @property
    def id(self) -> str:
        """The `name@version` of requests and responses."""
        return f"{self.name}@{self.version}"

    @property
    def max_pass_seconds(self) -> float:
        """Length in seconds of the longest recording that is read in one pass."""
        return min(self.max_seconds, self.trained_seconds or self.max_seconds)

    @property
    def has_transcript(self) -> bool:
        """Whether the model reads a transcript, which it can give beside the summary."""
        return self.kind == CASCADE

    def matches(self, name_or_id: str) -> bool:
        """Return whether `name` or `name@version` means this model."""
        return name_or_id in (self.name, self.id)

    def supports_language(self, language: str) -> bool:
        """Return whether the model was trained to write the language of a BCP 47 tag."""
        return language.split("-")[0].lower() in {known.split("-")[0].lower() for known in self.languages}

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> "ModelInfo":
        """Return the facts in a registry's entry. `created` is when its file was written on this machine."""
        return cls(
            name=manifest.name,
            version=manifest.version,
            kind=manifest.kind,
            max_seconds=manifest.audio.max_seconds,
            note_seconds=manifest.audio.note_seconds or 0.0,
            trained_seconds=manifest.audio.trained_seconds or 0.0,
            window_seconds=manifest.audio.window_seconds,
            sampling_rate=manifest.audio.sampling_rate,
            languages=tuple(manifest.languages),
            architecture=manifest.architecture,
            description=manifest.description,
            license=manifest.license,
            prompt_format=manifest.prompt_format,
            stage=manifest.stage,
            trained=manifest.stage != AS_PUBLISHED,
            parent=manifest.parent,
            figures=manifest.figures.model_dump() if manifest.figures else {},
            created=int((manifest.folder / MANIFEST_FILE).stat().st_mtime),
        )

    @classmethod
    def from_folder(cls, checkpoint: CheckpointFolder) -> "ModelInfo":
        """Return the facts about the weights in a folder, under the folder's name."""
        return cls(
            name=checkpoint.name,
            version=LOCAL_VERSION,
            kind="audio-llm",
            max_seconds=checkpoint.max_seconds,
            languages=checkpoint.family.languages,
            architecture=checkpoint.model_type,
            created=int((checkpoint.folder / "config.json").stat().st_mtime),
        )

    @classmethod
    def from_hub(cls, model: HubModel, max_seconds: float) -> "ModelInfo":
        """Return the facts about a model from a hub, which may not be downloaded yet. max_seconds: of one pass."""
        return cls(
            name=model.name,
            version=model.version,
            kind="audio-llm",
            max_seconds=max_seconds,
            languages=model.family.languages,
            architecture=model.model_type,
            description=f"{model.repository} as published. {model.note}".rstrip(),
            license=model.license,
        )


SCRIPTED_MODEL = ModelInfo(
    "scripted", "1", "scripted", max_seconds=600.0, description="Plays back a script. Hears nothing."
)
SCRIPTED_PROCESS_MODEL = ModelInfo(
    "scripted-process",
    "1",
    "scripted",
    max_seconds=600.0,
    description="Plays back a script in a process that can be killed. Hears nothing.",
)
