"""The typed requests and responses of `/v1/admin`. Knows nothing about how models are loaded."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.api.protocol import ResponseModel
from app.models.loaded_model import LoadedModel, State
from app.models.resolver import ResolvedModel
from app.setting_types import normalize_urls

WEIGHT_FIELD = Field(
    None,
    ge=0,
    lt=1e12,
    description="Share of the requests that name no version, relative to the other versions; 0 is none.",
)


class LoadRequest(BaseModel):
    """A model to load, beside the loaded models or in the place of one of them."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=200, description="`name` (its newest version) or `name@version`.")
    weight: float | None = WEIGHT_FIELD
    replace: str | None = Field(
        None,
        max_length=200,
        description="`name@version` of the model to replace once this one is ready. Without a `weight`, its weight is "
        "taken over.",
    )
    urls: list[str] = Field(
        [],
        max_length=100,
        description="URLs of the vLLM servers that serve the model, instead of those in the settings.",
    )

    @field_validator("urls")
    @classmethod
    def _validate_urls(cls, urls: list[str]) -> list[str]:
        return normalize_urls(urls)


class WeightRequest(BaseModel):
    """A new weight for a model."""

    model_config = ConfigDict(extra="forbid")

    weight: float = Field(
        ge=0,
        lt=1e12,
        description="Share of the requests that name no version, relative to the other versions; 0 is none.",
    )


class AdapterRequest(BaseModel):
    """A LoRA adapter to load on a model."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        min_length=1, max_length=200, description="Name by which a request's `model` asks for the adapter."
    )
    folder: Path | None = Field(
        None,
        description="Folder that holds the adapter, as PEFT saves it. Leave it out if the vLLM servers have loaded the "
        "adapter under its name.",
    )
    model: str | None = Field(
        None, max_length=200, description="`name@version` of the model to load it on; the default model if left out."
    )


class LoadedCard(ResponseModel):
    """A model that is or was loaded."""

    id: str = Field(description="`name@version`.")
    object: Literal["admin.model"] = "admin.model"
    state: State
    weight: float
    share: float = Field(description="Share of the requests that name the model without a version, from 0 to 1.")
    default: bool = Field(description="Whether requests that name no model get a model of this name.")
    requests: int = Field(
        description="Number of requests that the model is working on or that wait for it, running jobs included."
    )
    why: str = Field(description="Why the model failed; empty if it has not.")
    adapters: list[str]


class LoadedList(ResponseModel):
    """A list of models."""

    object: Literal["list"] = "list"
    data: list[LoadedCard]


class AdapterCard(ResponseModel):
    """A loaded adapter and the model that it is loaded on."""

    name: str
    object: Literal["admin.adapter"] = "admin.adapter"
    model: str


def loaded_card(model: LoadedModel, all_models: list[LoadedModel], default: str) -> LoadedCard:
    """Return a model as operators see it. all_models: with the other versions, which share its requests. default: the
    name of the model that a request gets that names none.
    """
    versions = [one for one in all_models if one.info.name == model.info.name and one.state is State.READY]
    total_weight = sum(one.weight for one in versions)
    return LoadedCard(
        id=model.id,
        state=model.state,
        weight=model.weight,
        share=model.weight / total_weight if model in versions and total_weight else 0.0,
        default=model.info.name == default,
        requests=model.active_requests,
        why=model.fault,
        adapters=sorted(model.adapters),
    )


def adapter_card(adapter: ResolvedModel) -> AdapterCard:
    """Return an adapter as operators see it."""
    return AdapterCard(name=adapter.id, model=adapter.model.id)
