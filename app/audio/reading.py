"""What a reader tells about a file beside its samples, the same from libsndfile and from FFmpeg."""

from dataclasses import dataclass, field

from app.errors import Unprocessable


@dataclass
class Reading:
    """promised: seconds the file's headers announce, None where they announce nothing reliable.
    damaged: seconds that were announced and reached the sink as silence or not at all, beyond what `promised` shows.
    """

    promised: float | None = None
    damaged: float = 0.0
    warnings: list[str] = field(default_factory=list)


def undecodable(label: str, reason: str = "") -> Unprocessable:
    """The refusal of a file of format `label` that no decoder takes."""
    detail = f" ({reason.strip(' .')})" if reason.strip(" .") else ""
    message = f"The file looks like {label} but cannot be decoded{detail}; it is damaged, truncated or incomplete."
    return Unprocessable(message, code="undecodable_audio", param="file")
