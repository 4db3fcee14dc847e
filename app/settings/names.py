"""The names of settings in the environment."""

PREFIX = "SPEECHSUM_"
DELIMITER = "__"


def setting_name(*path: str) -> str:
    """Return a setting's name: `setting_name("limits", "upload_bytes")` is `SPEECHSUM_LIMITS__UPLOAD_BYTES`."""
    return PREFIX + DELIMITER.join(part.upper() for part in path)
