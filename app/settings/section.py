"""The base class of a section of settings."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings, `SPEECHSUM_<SECTION>__<NAME>` in the environment. An unknown name is an error."""

    model_config = ConfigDict(extra="forbid")
