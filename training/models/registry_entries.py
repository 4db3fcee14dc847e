"""What the registry says of each architecture that the pipeline exports: its base parts, limits and descriptions."""

from dataclasses import dataclass, field

from model_repo.architectures import MAX_AUDIO_SECONDS
from model_repo.manifest import AudioLimits, Needs

WHISPER_BASE_PART = "whisper-base-ct2"
# The languages that the authors of Qwen2.5 name. Whisper base recognizes all of them.
QWEN2_LANGUAGES = ("en", "zh", "fr", "es", "pt", "de", "it", "ru", "ja", "ko", "vi", "th", "ar")
# A cascade is limited by the transcript's length: speech is rarely more than 4 tokens a second in English, and twice as
# many in Russian, Korean or Chinese. A longer transcript is refused.
QWEN2_LIMITS = AudioLimits(max_seconds=600, note_seconds=300)
QWEN2_SECTION_TOKENS = 90  # docs/results.md


@dataclass(frozen=True)
class RegistryEntry:
    """What the manifests of one architecture have in common.

    Attributes:
        base_parts: parts that the weights are built from.
        audio: the audio that one pass of the model takes.
        description: of a trained version, one sentence.
        untrained_description: of a version without an adapter; empty if it is the same.
        recognizer_parts: only for a cascade: parts that are used unchanged beside the weights.
        section_tokens: only for a cascade: tokens of a transcript that the language model summarizes at once.
        languages: languages of the model's summaries.
        needs: memory and disk, as far as they were measured.
        default_candidate: whether `make serve` may choose it.
    """

    base_parts: tuple[str, ...]
    audio: AudioLimits
    description: str
    untrained_description: str = ""
    recognizer_parts: tuple[str, ...] = ()
    section_tokens: int | None = None
    languages: tuple[str, ...] = ("en",)
    needs: Needs = field(default_factory=Needs)
    default_candidate: bool = True

    @property
    def is_cascade(self) -> bool:
        """Whether a recognizer writes a transcript for the language model."""
        return bool(self.recognizer_parts)


def _qwen2_cascade(size: str, needs: Needs, default_candidate: bool = True) -> RegistryEntry:
    model = f"Qwen2.5-Coder-{size}-Instruct"
    return RegistryEntry(
        base_parts=(f"{model.lower()}-q4_k_m",),
        recognizer_parts=(WHISPER_BASE_PART,),
        audio=QWEN2_LIMITS,
        section_tokens=QWEN2_SECTION_TOKENS,
        languages=QWEN2_LANGUAGES,
        description=f"Cascade: Whisper base writes a transcript, {model}, taught on transcripts, summarizes it.",
        untrained_description=f"Cascade: Whisper base writes a transcript, {model} summarizes it; both as published.",
        needs=needs,
        default_candidate=default_candidate,
    )


REGISTRY_ENTRIES = {
    "audioflamingo3": RegistryEntry(
        base_parts=("whisper-tiny-en", "smollm2-135m-instruct-q4_1"),
        # Notes on longer recordings are taken in windows shorter than a pass, whose features need less memory.
        audio=AudioLimits(max_seconds=MAX_AUDIO_SECONDS, note_seconds=120),
        description="Hears: Whisper tiny.en's encoder, a projector and SmolLM2-135M as one model; no transcript.",
    ),
    "llama": RegistryEntry(
        base_parts=("smollm2-135m-instruct-q4_1",),
        recognizer_parts=("whisper-tiny-en-ct2",),
        audio=AudioLimits(max_seconds=1500),
        description="Cascade: Whisper tiny.en writes a transcript, SmolLM2-135M, taught on transcripts, summarizes it.",
    ),
    "qwen2": _qwen2_cascade("0.5B", Needs(memory_gb=7.0, disk_gb=2.0)),
    # Each of its tokens takes three times the work of one of 0.5B.
    "qwen2-1.5b": _qwen2_cascade("1.5B", Needs(memory_gb=12.0, disk_gb=5.0), default_candidate=False),
}
