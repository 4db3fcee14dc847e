"""Fetches a recording from a URL into a file without a name, bounded in bytes, in time and in where it may lead.

Every hop, the first and each redirect, passes the same checks: a URL that can be read in one way only (`url`), a scheme
and a port that are set, a host on the list (`hosts`), public addresses and a connection to these very addresses
(`connect`). What goes out is a bare GET: no cookies, no credentials, no referrer, no proxy out of the environment. What
comes back is never decompressed and never told to the caller, but for the status. Messages do not say where a redirect
led. Knows nothing about routes, nor about audio.
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
    """Fetches what the settings allow.

    resolve, door: how names become addresses, and how these are reached; the system's ways if left out. Raises
    ValueError for settings that make no sense together.
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
                f"{setting_name('fetch', 'enabled')} is on, but {setting_name('fetch', 'hosts')} names no host; `*` is "
                "any public one"
            )

    async def fetch(self, url: str, reserve: Callable[[int], None]) -> BinaryIO:
        """The recording at a URL; `hold` is told the size of each piece and may raise.

        Raises InvalidRequest (400) for what is not fetched, TooLarge (413), Unprocessable (422) where the other side
        fails, Unavailable (503) for a disk that is full.
        """
        if not self._fetch.enabled:
            raise InvalidRequest(
                "This service fetches no recordings from URLs. Send the recording itself. The setting is "
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
        """Look up no more names. Harmless twice."""
        self._resolver.close()

    async def _follow_redirects(self, location: ParsedUrl, hold: Callable[[int], None]) -> BinaryIO:
        addresses = await self._resolve_allowed(location)
        for _ in range(self._fetch.redirects + 1):
            async with self._open_response(location, addresses) as answer:
                if answer.status not in REDIRECT_STATUSES:
                    return await write_unnamed_file(self._read_body(answer, hold))
                reference = _header(answer, "location")
            try:
                location = resolve_reference(location, reference)
                addresses = await self._resolve_allowed(location)
            except InvalidRequest as error:
                raise InvalidRequest(
                    f"The URL redirects to another one, which is refused: {error.message}",
                    code="audio_url_not_allowed",
                    param="url",
                ) from None
        raise _failed_error(
            f"redirects more than {self._fetch.redirects} times, the most that is followed; the setting is "
            f"{setting_name('fetch', 'redirects')}"
        )

    async def _resolve_allowed(self, location: ParsedUrl) -> list[Address]:
        """The addresses to connect to, if the location may be fetched from."""
        if location.scheme != "https" and not self._fetch.plain_http:
            raise _forbidden_error("is not https", "plain_http")
        if location.port not in self._fetch.ports:
            raise _forbidden_error("has a port that is not fetched from", "ports")
        if location.host not in self._allowed_hosts:
            raise _forbidden_error("has a host that is not fetched from", "hosts")
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
        """The answer to a GET, its body unread, over a connection of its own."""
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

    async def _read_body(self, answer: httpcore.Response, hold: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
        """The body's pieces, if it is a whole recording, of at most as many bytes as an upload may have."""
        if answer.status != 200:
            raise _failed_error(f"was answered with status {answer.status}")
        if _header(answer, "content-encoding").lower() not in ("", "identity"):
            raise _failed_error("was answered with compressed content, which was not asked for and is not unpacked")
        most = self._settings.limits.upload_bytes
        announced = _header(answer, "content-length")
        if announced.isdecimal() and int(announced) > most:
            raise _too_large_error(most)
        received = 0
        with self._translate_errors():
            async for piece in answer.aiter_stream():
                received += len(piece)
                if received > most:
                    raise _too_large_error(most)
                hold(len(piece))
                yield piece

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Around what the other side can make fail: its failures are ours to tell, in words of our own."""
        try:
            yield
        except httpcore.ConnectTimeout:
            raise self._connect_timeout_error() from None
        except httpcore.TimeoutException:
            raise _timeout_error(
                f"The URL's host paused for {self._fetch.idle_seconds:g} seconds", setting_name("fetch", "idle_seconds")
            ) from None
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
            log.info("a recording was not fetched: %r", error)
            if any(isinstance(reason, ssl.SSLCertVerificationError) for reason in error.args):
                raise _failed_error("has a host whose certificate is not trusted, or is not for this host") from None
            raise _failed_error("could not be read: its host refused the connection or broke it off") from None

    def _connect_timeout_error(self) -> Unprocessable:
        return _timeout_error(
            f"There was no connection to the URL's host within {self._fetch.connect_seconds:g} seconds",
            setting_name("fetch", "connect_seconds"),
        )


def _header(answer: httpcore.Response, name: str) -> str:
    """A header's value, several joined as HTTP joins them, or nothing."""
    values = [value for key, value in answer.headers if key.lower() == name.encode()]
    return b", ".join(values).decode("utf-8", "replace").strip()


def _forbidden_error(fault: str, setting: str) -> InvalidRequest:
    return InvalidRequest(
        f"The URL {fault} here. The setting is {setting_name('fetch', setting)}.",
        code="audio_url_not_allowed",
        param="url",
    )


def _failed_error(fault: str) -> Unprocessable:
    return Unprocessable(f"The URL {fault}.", code="audio_url_failed", param="url")


def _timeout_error(what: str, setting: str) -> Unprocessable:
    return Unprocessable(f"{what}. The setting is {setting}.", code="audio_url_timeout", param="url")


def _too_large_error(most: int) -> TooLarge:
    return TooLarge(
        f"The recording at the URL has more than {most} bytes, the most that is accepted. The setting is "
        f"{setting_name('limits', 'upload_bytes')}.",
        code="upload_too_large",
        param="url",
    )
