"""Fetches a recording from a URL into an unnamed file, with limits on its size, its time and where it may lead.

Every hop, the first and each redirect, passes the same checks: a URL that can be read in one way only (`url`), an
allowed scheme and port, an allowed host (`allowed_hosts`), and public addresses, to which it then connects
(`connector`). The request is a bare GET: no cookies, no credentials, no referrer, and no proxy from the environment. Of
the response, the caller learns nothing but its status, and the body is never decompressed. Messages do not say where a
redirect led. Knows nothing about routes or audio.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import BinaryIO

import httpcore

from app.core.audio.samples import translate_disk_full, write_unnamed_file
from app.core.errors import InvalidRequest, TooLarge, Unprocessable
from app.fetch.allowed_hosts import AllowedHosts
from app.fetch.connector import HttpConnector, ResolveHost, Resolver, resolve_public_addresses
from app.fetch.public_addresses import Address
from app.fetch.url import ParsedUrl, parse_url, resolve_reference
from app.settings import Settings, setting_name

log = logging.getLogger(__name__)

REDIRECT_STATUSES = (301, 302, 303, 307, 308)
REQUEST_HEADERS = {
    "user-agent": "speechsum",
    "accept": "audio/*, video/*, application/octet-stream, */*;q=0.1",
    "accept-encoding": "identity",
}


class Fetcher:
    """Fetches recordings as the settings allow.

    Args:
        resolve: resolves names; the system's resolver by default.
        connector: sends the requests; plain TCP and the usual certificates by default.

    Raises:
        ValueError: if the settings do not fit together.
    """

    def __init__(
        self, settings: Settings, resolve: ResolveHost | None = None, connector: HttpConnector | None = None
    ) -> None:
        self._settings = settings
        self._fetch = settings.fetch
        self._resolver = Resolver()
        self._resolve = resolve or self._resolver
        self._connector = connector or HttpConnector()
        self._timeout_s, self._timeout_setting = min(
            (settings.fetch.seconds, setting_name("fetch", "seconds")),
            (settings.timeouts.request_seconds, setting_name("timeouts", "request_seconds")),
        )
        try:
            self._allowed_hosts = AllowedHosts(settings.fetch.hosts)
        except ValueError as error:
            raise ValueError(f"{setting_name('fetch', 'hosts')}: {error}") from None
        if settings.fetch.enabled and not self._allowed_hosts:
            raise ValueError(
                f"{setting_name('fetch', 'enabled')} is true, but {setting_name('fetch', 'hosts')} names no host; `*` "
                "allows any public host"
            )

    async def fetch(self, url: str, reserve: Callable[[int], None]) -> BinaryIO:
        """Fetch the recording at a URL.

        Args:
            reserve: is called with the size of each piece, in bytes, before the piece is written. It may raise.

        Raises:
            InvalidRequest: (400) if the URL is not allowed.
            TooLarge: (413) if the recording is too large.
            Unprocessable: (422) if the other side fails or is too slow.
            Unavailable: (503) if the disk is full.
        """
        if not self._fetch.enabled:
            raise InvalidRequest(
                "This service does not fetch recordings from URLs. Send the recording itself. The setting is "
                f"{setting_name('fetch', 'enabled')}.",
                code="audio_url_disabled",
                param="url",
            )
        location = parse_url(url)
        with translate_disk_full():
            try:
                async with asyncio.timeout(self._timeout_s) as deadline:
                    return await self._follow_redirects(location, reserve)
            except TimeoutError:
                if not deadline.expired():
                    raise
                raise _timeout_error(
                    f"Fetching the URL took longer than {self._timeout_s:g} seconds", self._timeout_setting
                ) from None

    def close(self) -> None:
        """Accept no more names to resolve. Safe to call twice."""
        self._resolver.close()

    async def _follow_redirects(self, location: ParsedUrl, reserve: Callable[[int], None]) -> BinaryIO:
        addresses = await self._resolve_allowed(location)
        for _ in range(self._fetch.redirects + 1):
            async with self._open_response(location, addresses) as answer:
                if answer.status not in REDIRECT_STATUSES:
                    return await write_unnamed_file(self._read_body(answer, reserve))
                reference = _header(answer, "location")
            try:
                location = resolve_reference(location, reference)
                addresses = await self._resolve_allowed(location)
            except InvalidRequest as error:
                raise InvalidRequest(
                    f"The URL redirects to another URL, which is refused: {error.message}",
                    code="audio_url_not_allowed",
                    param="url",
                ) from None
        raise _failed_error(
            f"redirects more than {self._fetch.redirects} times, and no more redirects are followed; the setting is "
            f"{setting_name('fetch', 'redirects')}"
        )

    async def _resolve_allowed(self, location: ParsedUrl) -> list[Address]:
        """Return the addresses to connect to, if the location may be fetched from."""
        if location.scheme != "https" and not self._fetch.plain_http:
            raise _forbidden_error("has the scheme http, which is not allowed", "plain_http")
        if location.port not in self._fetch.ports:
            raise _forbidden_error("has a port that is not allowed", "ports")
        if location.host not in self._allowed_hosts:
            raise _forbidden_error("has a host that is not allowed", "hosts")
        try:
            async with asyncio.timeout(self._fetch.connect_seconds) as deadline:
                return await resolve_public_addresses(location, self._resolve)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise self._connect_timeout_error() from None

    @asynccontextmanager
    async def _open_response(
        self, location: ParsedUrl, addresses: Sequence[Address]
    ) -> AsyncIterator[httpcore.Response]:
        """Send a GET over a connection of its own, and yield the response with its body unread."""
        with self._translate_errors():
            async with self._connector.open_response(
                "GET",
                location,
                addresses,
                REQUEST_HEADERS,
                connect_s=self._fetch.connect_seconds,
                idle_s=self._fetch.idle_seconds,
            ) as answer:
                yield answer

    async def _read_body(
        self, answer: httpcore.Response, reserve: Callable[[int], None]
    ) -> AsyncGenerator[bytes, None]:
        """Yield the pieces of the body, if it is a whole recording and not larger than an upload may be."""
        if answer.status != 200:
            raise _failed_error(f"was answered with status {answer.status}")
        if _header(answer, "content-encoding").lower() not in ("", "identity"):
            raise _failed_error("was answered with compressed content, which was not requested and is not unpacked")
        max_bytes = self._settings.limits.upload_bytes
        content_length = _header(answer, "content-length")
        if content_length.isdecimal() and int(content_length) > max_bytes:
            raise _too_large_error(max_bytes)
        received = 0
        with self._translate_errors():
            async for piece in answer.aiter_stream():
                received += len(piece)
                if received > max_bytes:
                    raise _too_large_error(max_bytes)
                reserve(len(piece))
                yield piece

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise the failures of the other side as errors of this service, which do not reveal its details."""
        try:
            yield
        except httpcore.ConnectTimeout:
            raise self._connect_timeout_error() from None
        except httpcore.TimeoutException:
            raise _timeout_error(
                f"The URL's host paused for {self._fetch.idle_seconds:g} seconds", setting_name("fetch", "idle_seconds")
            ) from None
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
            log.info("A recording could not be fetched: %r", error)
            if any(isinstance(reason, ssl.SSLCertVerificationError) for reason in error.args):
                raise _failed_error("has a host whose certificate is not trusted, or is not for this host") from None
            raise _failed_error("could not be read: its host refused the connection or closed it early") from None

    def _connect_timeout_error(self) -> Unprocessable:
        return _timeout_error(
            f"There was no connection to the URL's host within {self._fetch.connect_seconds:g} seconds",
            setting_name("fetch", "connect_seconds"),
        )


def _header(answer: httpcore.Response, name: str) -> str:
    """Return a header's value, several joined as HTTP joins them; empty if there is none."""
    values = [value for key, value in answer.headers if key.lower() == name.encode()]
    return b", ".join(values).decode("utf-8", "replace").strip()


def _forbidden_error(fault: str, setting: str) -> InvalidRequest:
    return InvalidRequest(
        f"The URL {fault} by this service. The setting is {setting_name('fetch', setting)}.",
        code="audio_url_not_allowed",
        param="url",
    )


def _failed_error(fault: str) -> Unprocessable:
    return Unprocessable(f"The URL {fault}.", code="audio_url_failed", param="url")


def _timeout_error(what: str, setting: str) -> Unprocessable:
    return Unprocessable(f"{what}. The setting is {setting}.", code="audio_url_timeout", param="url")


def _too_large_error(max_bytes: int) -> TooLarge:
    return TooLarge(
        f"The recording at the URL has more than {max_bytes} bytes, which is the limit. The setting is "
        f"{setting_name('limits', 'upload_bytes')}.",
        code="upload_too_large",
        param="url",
    )
