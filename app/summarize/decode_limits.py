"""The limits on a recording that is decoded, from the settings. Knows nothing about how it is decoded."""

from app.core.audio.limits import DecodeLimits
from app.settings import Settings, setting_name


def decode_limits(settings: Settings) -> DecodeLimits:
    """Return the limits on a recording, with the names of the settings that move them."""
    limits = settings.limits
    names = {
        "max_bytes": "upload_bytes",
        "max_seconds": "decode_seconds",
        "max_samples": "samples",
        "max_samples_per_byte": "samples_per_byte",
        "max_source_rate": "source_rate",
        "max_channels": "channels",
        "max_missing_seconds": "missing_seconds",
        "max_parts": "parts",
    }
    return DecodeLimits(
        max_bytes=limits.upload_bytes,
        max_seconds=limits.decode_seconds,
        max_samples=limits.samples,
        max_samples_per_byte=limits.samples_per_byte,
        max_source_rate=limits.source_rate,
        max_channels=limits.channels,
        max_missing_seconds=limits.missing_seconds,
        max_parts=limits.parts,
        setting_names={limit: f"the setting is {setting_name('limits', name)}" for limit, name in names.items()},
    )
