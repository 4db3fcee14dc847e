"""The settings of the speech recognizer, which the service and the training pipeline share."""

from pydantic import BaseModel, ConfigDict, Field


class RecognizerSettings(BaseModel):
    """How sure a cascade's recognizer has to be. Measured values are in results/recognizer.json."""

    model_config = ConfigDict(extra="forbid")

    log_probability: float = Field(
        -0.9,
        le=0,
        description="Mean log-probability of Whisper's tokens below which speech counts as not understood. It is left "
        "out of the transcript; if nothing is left, the answer's finish reason is `not_understood`.",
    )
    compression_ratio: float = Field(
        2.4,
        gt=0,
        description="Compression ratio of Whisper's text of 30 s above which the text repeats itself and counts as not "
        "understood, unless Whisper is sure of it, as of a message that is played in a loop.",
    )
    sure_log_probability: float = Field(
        -0.6, le=0, description="Mean log-probability below which a warning says that names and figures may be wrong."
    )
    sure_language_probability: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Probability of the language below which a warning says that its detection is uncertain.",
    )
