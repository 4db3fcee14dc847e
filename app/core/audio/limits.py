"""The limits of a recording, and the error for each, which names the setting that moves the limit."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from app.core.errors import ServiceError, TooLarge, Unprocessable

SAMPLE_RATE = 16000
# Lower rates carry no speech, and a header that says 1 Hz would turn a small file into hours.
MIN_SOURCE_RATE_HZ = 2000
# A file of any size may unpack to this many samples: some codecs need nearly nothing for four hours of silence at 48
# kHz, and decode them in seconds.
MIN_SAMPLES_LIMIT = 700_000_000


@dataclass(frozen=True)
class DecodeLimits:
    """Limits that are checked while decoding, so that a small file that unpacks to hours stops at the first one.

    Attributes:
        max_bytes: Size of the file.
        max_seconds: Length of the audio.
        max_samples: Samples that the decoder may produce, over all channels, at the source's rate.
        max_samples_per_byte: The same for each byte of the file; `MIN_SAMPLES_LIMIT` are always allowed. Speech at
            6 kbit/s has 64 to 128, digital silence in FLAC 500 to 600.
        max_source_rate: Sampling rate of the source, in Hz.
        max_channels: Channels of the source.
        max_missing_seconds: Audio that a file announces and does not hold, because it is truncated or damaged. Up to
            this limit it is a warning. Above it the file is refused, because a summary of the rest would look like one
            of the whole.
        max_parts: Recordings in one file, one after another.
        setting_names: The setting that moves a limit, where it is not SPEECHSUM_AUDIO__<LIMIT>.
    """

    max_bytes: int = 200 * 1024 * 1024
    max_seconds: float = 4 * 3600.0
    max_samples: int = 3_000_000_000
    max_samples_per_byte: float = 600
    max_source_rate: int = 384_000
    max_channels: int = 8
    max_missing_seconds: float = 0.5
    max_parts: int = 1000
    setting_names: Mapping[str, str] = field(default_factory=dict)

    def setting_name(self, limit: str) -> str:
        """Return the setting that moves a limit, which is given by its attribute's name."""
        return self.setting_names.get(limit, f"SPEECHSUM_AUDIO__{limit.upper()}")

    def for_file_size(self, count: int) -> "DecodeLimits":
        """Return these limits with `max_samples` lowered for a file of `count` bytes."""
        max_samples = max(MIN_SAMPLES_LIMIT, int(count * self.max_samples_per_byte))
        if max_samples >= self.max_samples:
            return self
        names = {**self.setting_names, "max_samples": self.setting_name("max_samples_per_byte")}
        return replace(self, max_samples=max_samples, setting_names=names)

    def check_bytes(self, count: int) -> None:
        """Raise `TooLarge` if the file is larger than `max_bytes`."""
        if count > self.max_bytes:
            message = f"The audio file has {count:,} bytes; at most {self.max_bytes:,} are accepted"
            raise self._error(TooLarge, message, "upload_too_large", "max_bytes")

    def check_source(self, rate: int, channels: int) -> None:
        """Raise `Unprocessable` if the sampling rate (in Hz) or the number of channels is not accepted."""
        if not MIN_SOURCE_RATE_HZ <= rate <= self.max_source_rate:
            accepted = f"{MIN_SOURCE_RATE_HZ:,} to {self.max_source_rate:,} Hz are accepted"
            message = f"The sampling rate is {rate:,} Hz; {accepted}"
            raise self._error(Unprocessable, message, "unsupported_sample_rate", "max_source_rate")
        if not 1 <= channels <= self.max_channels:
            message = f"The audio has {channels} channels; 1 to {self.max_channels} are accepted"
            raise self._error(Unprocessable, message, "too_many_channels", "max_channels")

    def check_seconds(self, seconds: float, *, is_total: bool) -> None:
        """Raise `TooLarge` if a recording is longer than `max_seconds`.

        Args:
            seconds: Its length so far.
            is_total: `seconds` is its whole length. Otherwise decoding stops there, and the message says so.
        """
        if seconds > self.max_seconds + 1e-6:
            found = (
                f"is {seconds:,.1f} s long" if is_total else f"goes on after {seconds:,.1f} s (decoding stopped there)"
            )
            message = f"The recording {found}; at most {self.max_seconds:,.1f} s are accepted"
            raise self._error(TooLarge, message, "audio_too_long", "max_seconds")

    def check_samples(self, count: int) -> None:
        """Raise `TooLarge` if the samples over all channels are more than `max_samples`."""
        if count > self.max_samples:
            message = f"The recording unpacks to more than {self.max_samples:,} samples over all channels"
            raise self._error(TooLarge, message, "too_many_samples", "max_samples")

    def check_parts(self, count: int) -> None:
        """Raise `TooLarge` if the file holds more than `max_parts` recordings."""
        if count > self.max_parts:
            message = f"The file holds more than {self.max_parts:,} recordings, one after another"
            raise self._error(TooLarge, message, "too_many_parts", "max_parts")

    def check_missing(self, missing: float, found: float) -> None:
        """Raise `Unprocessable` if more seconds are missing than `max_missing_seconds`. found: seconds decoded."""
        if missing > self.max_missing_seconds:
            message = (
                f"The file is truncated or damaged: {missing:,.2f} s of {found + missing:,.2f} s cannot be decoded; "
                f"at most {self.max_missing_seconds:g} s may be missing"
            )
            raise self._error(Unprocessable, message, "undecodable_audio", "max_missing_seconds")

    def _error(self, kind: type[ServiceError], message: str, code: str, limit: str) -> ServiceError:
        return kind(f"{message} ({self.setting_name(limit)}).", code=code, param="file")
