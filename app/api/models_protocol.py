"""The typed responses that describe models. Knows nothing about how models are loaded."""

from typing import Any, Literal

from pydantic import Field

from app.api.protocol import ResponseModel
from app.engine.model_info import ModelInfo
from app.models.loaded_model import LoadedModel, State


class AudioCard(ResponseModel):
    """The recordings that a model accepts. Times are in seconds, the sampling rate is in Hz."""

    sampling_rate: int
    window_seconds: float
    max_seconds: float
    note_seconds: float = Field(
        description="Length of the windows in which longer recordings are read for notes; 0 is `max_seconds`."
    )
    trained_seconds: float = Field(
        description="Length of the recordings that the model was trained on; longer ones are read in windows of this "
        "length. 0 if not known."
    )


class ModelCard(ResponseModel):
    """A model, or an adapter that is loaded on one."""

    id: str = Field(description="The `model` of a request that asks for it: `name@version`, or the name of an adapter.")
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "speechsum"
    name: str
    version: str
    kind: str
    loaded: bool = Field(description="Whether the service serves it now.")
    state: State | None = Field(description="State of the model in this service; null if it was never loaded.")
    adapters: list[str] = Field(
        description="LoRA adapters that are loaded on it; the `model` of a request can name one."
    )
    adapter_of: str | None = Field(
        None, description="`name@version` of the model that this adapter is loaded on; null for a model."
    )
    description: str
    license: str | None
    architecture: str | None
    stage: str | None = Field(description="Training stage that made the model.")
    parent: str | None = Field(description="The model that it was trained from.")
    prompt_format: int | None
    languages: list[str]
    audio: AudioCard
    figures: dict[str, Any] = Field(description="Measured results and the command that produced them.")


class ModelList(ResponseModel):
    """A list of models and adapters."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


def model_card(model: ModelInfo, loaded: LoadedModel | None, adapter: str | None = None) -> ModelCard:
    """Return a model as `GET /v1/models` shows it. loaded: the same model in this service, if it was ever loaded.
    adapter: the name of one of its adapters, which is shown instead of the model.
    """
    values = {name: getattr(model, name) for name in ModelCard.model_fields if hasattr(model, name)}
    audio = AudioCard(**{name: getattr(model, name) for name in AudioCard.model_fields})
    state = loaded.state if loaded else None
    adapters = sorted(loaded.adapters) if loaded else []
    serving: dict[str, Any] = {"loaded": state is State.READY, "state": state, "adapters": adapters}
    if adapter is not None:
        # The figures were measured without the adapter.
        serving |= {"id": adapter, "adapter_of": model.id, "adapters": [], "figures": {}}
    return ModelCard.model_validate({**values, "languages": list(model.languages), "audio": audio, **serving})
