"""The settings of the speech recognizer, as the service's settings and the training pipeline share them."""

from pydantic import BaseModel, ConfigDict, Field


class RecognizerSettings(BaseModel):
    """What a cascade's recognizer has to be sure of. Measured values are in results/recognizer.json."""

    model_config = ConfigDict(extra="forbid")

    log_probability: float = Field(
        -0.9,
        le=0,
        description="Mean log-probability of Whisper's tokens below which a stretch of speech is not understood: it is "
        "left out, and where nothing is left the answer ends with `not_understood`.",
    )
    compression_ratio: float = Field(
        2.4,
        gt=0,
        description="Compression ratio of Whisper's text in 30 s above which it goes round in circles and is not "
        "understood, unless Whisper is sure of it, as of a message that is played over and over.",
    )
    sure_log_probability: float = Field(
        -0.6, le=0, description="Mean log-probability below which a warning says that names and figures may be wrong."
    )
    sure_language_probability: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Probability below which a warning says that the language was told with little certainty.",
    )
