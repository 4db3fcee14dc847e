"""What a recording may be, and the words of each refusal, which name the setting that moves the bound."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from app.core.errors import ServiceError, TooLarge, Unprocessable

SAMPLE_RATE = 16000
# Below this nothing carries speech, and a header that says 1 Hz would turn a small file into hours.
MIN_SOURCE_RATE_HZ = 2000
# A file may unpack to so much, however small it is: some codecs make nearly nothing of four hours of silence at 48 kHz,
# and decode them in seconds.
MIN_SAMPLES_LIMIT = 700_000_000


@dataclass(frozen=True)
class DecodeLimits:
    """Bounds checked while decoding, so that a small file which unpacks to hours stops as soon as it passes one.

    max_bytes: of the file as uploaded.
    max_seconds: of audio.
    max_samples: values the decoder may produce over all channels, at the source's own rate.
    max_samples_per_byte: of the file, beyond `MIN_SAMPLES_LIMIT`. Speech at 6 kbit/s has 64 to 128, digital silence
        in FLAC 500 to 600.
    max_source_rate: Hz. max_channels: of the source.
    max_missing_seconds: audio that a file promises and does not hold (truncated, damaged). Up to here it is a warning;
        beyond, the file is refused, because a summary of the rest would pass for one of the whole.
    max_parts: recordings that one file may hold, one behind the other.
    setting_names: limit → the setting that moves it, where that is not SPEECHSUM_AUDIO__<LIMIT>.
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
        """The setting that moves `limit`, a field's name."""
        return self.setting_names.get(limit, f"SPEECHSUM_AUDIO__{limit.upper()}")

    def for_file_size(self, count: int) -> "DecodeLimits":
        """These limits, for a file of `count` bytes, which may not unpack to just anything."""
        most = max(MIN_SAMPLES_LIMIT, int(count * self.max_samples_per_byte))
        if most >= self.max_samples:
            return self
        names = {**self.setting_names, "max_samples": self.setting_name("max_samples_per_byte")}
        return replace(self, max_samples=most, setting_names=names)

    def check_bytes(self, count: int) -> None:
        if count > self.max_bytes:
            message = f"The audio file has {count:,} bytes; at most {self.max_bytes:,} are accepted"
            raise self._refusal(TooLarge, message, "upload_too_large", "max_bytes")

    def check_source(self, rate: int, channels: int) -> None:
        if not MIN_SOURCE_RATE_HZ <= rate <= self.max_source_rate:
            accepted = f"{MIN_SOURCE_RATE_HZ:,} to {self.max_source_rate:,} Hz are accepted"
            message = f"The sampling rate is {rate:,} Hz; {accepted}"
            raise self._refusal(Unprocessable, message, "unsupported_sample_rate", "max_source_rate")
        if not 1 <= channels <= self.max_channels:
            message = f"The audio has {channels} channels; 1 to {self.max_channels} are accepted"
            raise self._refusal(Unprocessable, message, "too_many_channels", "max_channels")

    def check_seconds(self, seconds: float, *, is_total: bool) -> None:
        """`whole`: `seconds` is the recording's length; otherwise decoding stopped there and there may be more."""
        if seconds > self.max_seconds + 1e-6:
            found = (
                f"is {seconds:,.1f} s long" if is_total else f"goes on after {seconds:,.1f} s (decoding stopped there)"
            )
            message = f"The recording {found}; at most {self.max_seconds:,.1f} s are accepted"
            raise self._refusal(TooLarge, message, "audio_too_long", "max_seconds")

    def check_samples(self, count: int) -> None:
        if count > self.max_samples:
            message = f"The recording unpacks to more than {self.max_samples:,} samples over all channels"
            raise self._refusal(TooLarge, message, "too_many_samples", "max_samples")

    def check_parts(self, count: int) -> None:
        if count > self.max_parts:
            message = f"The file holds more than {self.max_parts:,} recordings, one behind the other"
            raise self._refusal(TooLarge, message, "too_many_parts", "max_parts")

    def check_missing(self, missing: float, found: float) -> None:
        if missing > self.max_missing_seconds:
            message = (
                f"The file is truncated or damaged: {missing:,.2f} s of {found + missing:,.2f} s cannot be decoded; "
                f"at most {self.max_missing_seconds:g} s may be missing"
            )
            raise self._refusal(Unprocessable, message, "undecodable_audio", "max_missing_seconds")

    def _refusal(self, kind: type[ServiceError], message: str, code: str, limit: str) -> ServiceError:
        return kind(f"{message} ({self.setting_name(limit)}).", code=code, param="file")
