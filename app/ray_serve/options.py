"""The options of the application, as the section `args` of Serve's configuration gives them.

What the service does is in its settings, which are read from the environment where the application is built.
"""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Options(BaseModel):
    """A part of the options, in which a name that is not known is an error."""

    model_config = ConfigDict(extra="forbid")


class DeploymentOptions(Options):
    """How many replicas of a deployment there are, and what each reserves."""

    min_replicas: int = Field(1, ge=1, description="Replicas that are always there.")
    max_replicas: int = Field(1, ge=1, description="Replicas at most.")
    upscale_delay_s: float = Field(10, ge=0, description="How long more must be needed before replicas are added.")
    downscale_delay_s: float = Field(
        300, ge=0, description="How long fewer must be enough before replicas are removed."
    )
    graceful_shutdown_timeout_s: float = Field(
        120, ge=0, description="Time that a replica has to finish its requests before it is removed or replaced."
    )
    ray_actor_options: dict[str, Any] = Field(
        default_factory=dict, description="What each replica reserves: `num_cpus`, `num_gpus`, `resources`."
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas is {self.max_replicas}, less than min_replicas ({self.min_replicas})")
        return self


class ServeOptions(Options):
    """The options of the whole application."""

    ingress: DeploymentOptions = Field(default_factory=DeploymentOptions)
    ear: DeploymentOptions = Field(default_factory=DeploymentOptions)
    engine: DeploymentOptions = Field(default_factory=DeploymentOptions)
