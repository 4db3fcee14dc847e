"""The names of settings in the environment, and of the variables that commands read which call a service."""

PREFIX = "SPEECHSUM_"
DELIMITER = "__"
# They say which service a command calls, and are no settings of one.
URL_VARIABLE, API_KEY_VARIABLE = f"{PREFIX}URL", f"{PREFIX}API_KEY"
CLIENT_VARIABLES = frozenset((URL_VARIABLE, API_KEY_VARIABLE))


def setting_name(*path: str) -> str:
    """Return a setting's name: `setting_name("limits", "upload_bytes")` is `SPEECHSUM_LIMITS__UPLOAD_BYTES`."""
    return PREFIX + DELIMITER.join(part.upper() for part in path)
