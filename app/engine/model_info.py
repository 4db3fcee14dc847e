"""What is served: the facts about one model that the request's path and `GET /v1/models` need.

Read from a registry manifest, or given by hand where there is no registry entry (tests, the scripted engine). Knows
nothing about weights, engines or HTTP.
"""

from dataclasses import dataclass, field
from typing import Any

from model_repo.families import CheckpointFolder
from model_repo.manifest import MANIFEST_FILE, Manifest

AS_PUBLISHED = "base"  # a manifest's stage where nothing was trained
LOCAL_VERSION = "local"  # the version of what has none: a folder's


@dataclass(frozen=True)
class ModelInfo:
    """A model's name and limits. `max_seconds`: longest recording of one pass; `note_seconds`: windows in which longer
    ones are noted down, 0 for whole passes; `trained_seconds`: length that it was trained on, beyond which a
    recording is read in windows, 0 where that is not known; `window_seconds`: encoder's window; `trained`: whether
    it was trained on this service's prompts.
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
        """`name@version`, as requests and answers write it."""
        return f"{self.name}@{self.version}"

    @property
    def max_pass_seconds(self) -> float:
        """The longest recording that is read in one pass."""
        return min(self.max_seconds, self.trained_seconds or self.max_seconds)

    def matches(self, name_or_id: str) -> bool:
        """Whether `asked` (`name` or `name@version`) means this model."""
        return name_or_id in (self.name, self.id)

    def supports_language(self, language: str) -> bool:
        """Whether the model was trained to write the language of a BCP 47 tag."""
        return language.split("-")[0].lower() in {known.split("-")[0].lower() for known in self.languages}

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> "ModelInfo":
        """The registry's entry; its `created` is when the manifest was written on this machine, in Unix seconds."""
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
        """A folder's weights, under the folder's name."""
        return cls(
            name=checkpoint.name,
            version=LOCAL_VERSION,
            kind="audio-llm",
            max_seconds=checkpoint.max_seconds,
            languages=checkpoint.family.languages,
            architecture=checkpoint.model_type,
            created=int((checkpoint.folder / "config.json").stat().st_mtime),
        )


SCRIPTED_MODEL = ModelInfo(
    "scripted", "1", "scripted", max_seconds=600.0, description="Plays back a script. Hears nothing."
)
