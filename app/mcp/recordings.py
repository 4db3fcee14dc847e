"""Which recordings a tool may read: files below the folders that the user has named, URLs, and bytes in base64.

An assistant acts on texts that others wrote, so a path that it names proves nothing about what the user wants. Knows
nothing about the protocol or the service.
"""

import base64
import binascii
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

URL_SCHEMES = ("http://", "https://")
MAX_BASE64_CHARACTERS = 64_000_000  # about 48 MB of audio; a larger recording is a file or a URL
DATA_URL_PREFIX = "data:"


class RecordingRefused(Exception):
    """A recording cannot be read. The message is for the assistant and its user."""


def find_recording(recording: str | None, audio_base64: str | None, roots: Sequence[Path]) -> BinaryIO | bytes | str:
    """Return a recording for `speechsum_client`: an open file, bytes, or a URL, which the service fetches.

    Args:
        recording: A path or a URL.
        audio_base64: The recording itself in base64, also as a `data:` URL.
        roots: The folders from which files may be read, resolved.

    Raises:
        RecordingRefused: There is not exactly one recording, or it must not or cannot be read.
    """
    if (recording is None) == (audio_base64 is None):
        raise RecordingRefused("Give either `recording`, a path or a URL, or `audio_base64`.")
    if audio_base64 is not None:
        return _decode_base64(audio_base64)
    assert recording is not None
    return recording if recording.lower().startswith(URL_SCHEMES) else open_allowed_file(recording, roots)


def open_allowed_file(path: str, roots: Sequence[Path]) -> BinaryIO:
    """Return a regular file below one of the roots, opened. Links are followed first, and where the file lies is looked
    at again once it is open.

    Raises RecordingRefused; the message does not tell whether a file outside the roots exists.
    """
    if not roots:
        raise RecordingRefused(
            "No file may be read, because no folder is allowed. Start the server with --root FOLDER to allow one."
        )
    allowed = ", ".join(map(str, roots))
    refusal = RecordingRefused(
        f"{path!r} is not below an allowed folder ({allowed}). --root FOLDER allows another one."
    )
    try:
        # A relative path is looked for below each root.
        candidates = [Path(os.path.realpath(root / Path(path).expanduser())) for root in roots]
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, an unknown home, a null character
        raise refusal from error
    inside = [one for one in candidates if _is_below(one, roots)]
    if not inside:
        raise refusal
    found = next((one for one in inside if os.path.isfile(one)), None)
    if found is None:
        raise RecordingRefused(f"There is no file {path!r} below {allowed}.")
    try:
        # Without blocking: what was a file a moment ago could be a pipe now.
        descriptor = os.open(found, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise RecordingRefused(f"{path!r} cannot be read: {error.strerror}.") from error
    file = os.fdopen(descriptor, "rb")
    opened = Path(os.path.realpath(f"/proc/self/fd/{descriptor}"))
    if stat.S_ISREG(os.fstat(descriptor).st_mode) and _is_below(opened, roots):
        return file
    file.close()
    raise refusal


def _is_below(path: Path, roots: Sequence[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


def _decode_base64(text: str) -> bytes:
    if len(text) > MAX_BASE64_CHARACTERS:
        raise RecordingRefused(
            f"`audio_base64` has {len(text)} characters; at most {MAX_BASE64_CHARACTERS} are accepted. Give a path "
            "or a URL instead."
        )
    if text[: len(DATA_URL_PREFIX)].lower() == DATA_URL_PREFIX:
        text = text.partition(",")[2]
    try:
        audio = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise RecordingRefused(f"`audio_base64` is not base64: {error}.") from error
    if not audio:
        raise RecordingRefused("`audio_base64` is empty.")
    return audio
