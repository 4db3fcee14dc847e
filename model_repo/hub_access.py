"""The model hub as this process may use it: whether it answers, and why it did not.

`huggingface_hub` knows the hub's address and reads `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` itself. Knows nothing
about models or parts.
"""

import functools
import os
import threading

PROBE_SECONDS = 3.0  # the most that a machine without a hub waits, once in the life of a process
SETTING = "SPEECHSUM_HUB"  # also a setting of the service
TOKEN_VARIABLE, OFFLINE_VARIABLE = "HF_TOKEN", "HF_HUB_OFFLINE"
TRUE, FALSE = {"1", "true", "yes", "on", "t", "y"}, {"0", "false", "no", "off", "f", "n"}

# As the user set it: read when the process starts, because a vLLM engine sets the variable for itself later.
OFFLINE_SETTING = os.environ.get(OFFLINE_VARIABLE, "")


def is_offline() -> bool:
    """Return whether the user switched the hub off by `HF_HUB_OFFLINE`."""
    return OFFLINE_SETTING.strip().lower() in TRUE


def use_hub(choice: bool | None = None) -> bool:
    """Return whether to ask the hub before the package index.

    choice: what an option says; None leaves it to `SPEECHSUM_HUB`, and without that to whether a hub answers.
    """
    if choice is None and (text := os.environ.get(SETTING, "").strip().lower()) in TRUE | FALSE:
        choice = text in TRUE
    return hub_answers() if choice is None else choice


@functools.cache
def hub_answers() -> bool:
    """Return whether a hub answers within `PROBE_SECONDS`. It is asked once in the life of a process."""
    if is_offline():
        return False
    import httpx
    from huggingface_hub import constants

    answers: list[bool] = []

    def probe() -> None:
        try:
            answers.append(httpx.head(constants.ENDPOINT, timeout=PROBE_SECONDS).status_code < 500)
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            answers.append(False)

    # In a thread, because no timeout of httpx bounds the time that a name server takes.
    thread = threading.Thread(target=probe, name="hub-probe", daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return bool(answers) and answers[0]


def describe_failure(error: Exception, repository: str, revision: str) -> str:
    """Return a sentence for people about why a request to the hub failed, and what to do about it."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, OfflineModeIsEnabled):
        return f"{OFFLINE_VARIABLE} is set."
    if isinstance(error, GatedRepoError):
        return (
            f"{repository} is gated: accept its terms on its page at the hub, and put a token of your account into "
            f"{TOKEN_VARIABLE}."
        )
    if isinstance(error, RevisionNotFoundError):
        return f"the hub's {repository} has no revision {revision}."
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"the hub has no repository {repository}, or shows it only to those who may read it: put a token that may "
            f"into {TOKEN_VARIABLE}."
        )
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        hint = f" Check the token in {TOKEN_VARIABLE}." if status in (401, 403) else ""
        return f"the hub answered the request for {repository} with HTTP status {status}.{hint}"
    return f"no model hub can be reached at {constants.ENDPOINT} ({type(error).__name__}: {error})."
