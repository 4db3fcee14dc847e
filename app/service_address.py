"""What the commands need that call a running service: where it is, and how long they wait for it."""

from ipaddress import ip_address
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8000"
ANSWER_SECONDS = 14_400.0  # for one answer; a service has its own, shorter limit


def is_loopback(url: str) -> bool:
    """Return whether an address is this machine's own, which no proxy of the environment reaches."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
