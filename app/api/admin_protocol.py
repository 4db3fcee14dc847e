"""What an operator asks of the loaded models, and how they are shown. Knows nothing about how they are loaded."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.api.protocol import ResponseModel
from app.models.loaded_model import LoadedModel, State
from app.models.resolver import ResolvedModel
from app.setting_types import normalize_urls

WEIGHT_FIELD = Field(None, ge=0, lt=1e12, description="Its share of the requests that name no version; 0 is none.")


class LoadRequest(BaseModel):
    """A model to load, beside those that are loaded or in the place of one."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=200, description="`name` (its newest version) or `name@version`.")
    weight: float | None = WEIGHT_FIELD
    replace: str | None = Field(
        None,
        max_length=200,
        description="`name@version` of the one whose place it takes once it is ready, and its weight if none is given.",
    )
    urls: list[str] = Field(
        [], max_length=100, description="vLLM servers to look for it at, in place of the settings'."
    )

    @field_validator("urls")
    @classmethod
    def _validate_urls(cls, urls: list[str]) -> list[str]:
        return normalize_urls(urls)


class WeightRequest(BaseModel):
    """Another weight."""

    model_config = ConfigDict(extra="forbid")

    weight: float = Field(ge=0, lt=1e12, description="Its share of the requests that name no version; 0 is none.")


class AdapterRequest(BaseModel):
    """A LoRA adapter to load on a model."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200, description="What a request's `model` names.")
    folder: Path | None = Field(
        None, description="Where it lies, as PEFT saves it; left out where vLLM servers have it by its name."
    )
    model: str | None = Field(None, max_length=200, description="`name@version` of its model; the default if left out.")


class LoadedCard(ResponseModel):
    """A model that is, or was, loaded."""

    id: str = Field(description="`name@version`.")
    object: Literal["admin.model"] = "admin.model"
    state: State
    weight: float
    share: float = Field(description="Of the requests that name its name and no version, from 0 to 1.")
    default: bool = Field(description="Whether requests that name no model mean its name.")
    requests: int = Field(description="Inside it now, jobs that are worked on too.")
    why: str = Field(description="What made it fail; else empty.")
    adapters: list[str]


class LoadedList(ResponseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[LoadedCard]


class AdapterCard(ResponseModel):
    """A loaded adapter, and the model it is loaded on."""

    name: str
    object: Literal["admin.adapter"] = "admin.adapter"
    model: str


def loaded_card(model: LoadedModel, all_models: list[LoadedModel], default: str) -> LoadedCard:
    """A model as an operator sees it. among: all of them. default: the name that requests mean which name none."""
    rivals = [one for one in all_models if one.info.name == model.info.name and one.state is State.READY]
    weights = sum(one.weight for one in rivals)
    return LoadedCard(
        id=model.id,
        state=model.state,
        weight=model.weight,
        share=model.weight / weights if model in rivals and weights else 0.0,
        default=model.info.name == default,
        requests=model.active_requests,
        why=model.fault,
        adapters=sorted(model.adapters),
    )


def adapter_card(pick: ResolvedModel) -> AdapterCard:
    """An adapter as an operator sees it."""
    return AdapterCard(name=pick.id, model=pick.model.id)
