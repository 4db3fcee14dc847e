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

from app.core.audio.samples import spooled, told_if_full
from app.core.errors import InvalidRequest, TooLarge, Unprocessable
from app.fetch.allowed_hosts import Hosts
from app.fetch.connector import Door, Resolve, Resolver, public_addresses
from app.fetch.public_addresses import Address
from app.fetch.url import Location, join, parse
from app.settings import Settings, setting_name

log = logging.getLogger(__name__)

REDIRECTS = (301, 302, 303, 307, 308)
HEADERS = {
    "user-agent": "speechsum",
    "accept": "audio/*, video/*, application/octet-stream, */*;q=0.1",
    "accept-encoding": "identity",
}


class Fetcher:
    """Fetches what the settings allow.

    resolve, door: how names become addresses, and how these are reached; the system's ways if left out. Raises
    ValueError for settings that make no sense together.
    """

    def __init__(self, settings: Settings, resolve: Resolve | None = None, door: Door | None = None) -> None:
        self._settings = settings
        self._fetch = settings.fetch
        self._resolver = Resolver()
        self._resolve = resolve or self._resolver
        self._door = door or Door()
        self._longest, self._longest_setting = min(
            (settings.fetch.seconds, setting_name("fetch", "seconds")),
            (settings.timeouts.request_seconds, setting_name("timeouts", "request_seconds")),
        )
        try:
            self._hosts = Hosts(settings.fetch.hosts)
        except ValueError as error:
            raise ValueError(f"{setting_name('fetch', 'hosts')}: {error}") from None
        if settings.fetch.enabled and not self._hosts:
            raise ValueError(
                f"{setting_name('fetch', 'enabled')} is on, but {setting_name('fetch', 'hosts')} names no host; `*` is "
                "any public one"
            )

    async def fetch(self, url: str, hold: Callable[[int], None]) -> BinaryIO:
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
        location = parse(url)
        with told_if_full():
            try:
                async with asyncio.timeout(self._longest) as deadline:
                    return await self._follow(location, hold)
            except TimeoutError:
                if not deadline.expired():
                    raise
                raise _timed_out(
                    f"Fetching the URL took longer than {self._longest:g} seconds", self._longest_setting
                ) from None

    def close(self) -> None:
        """Look up no more names. Harmless twice."""
        self._resolver.close()

    async def _follow(self, location: Location, hold: Callable[[int], None]) -> BinaryIO:
        addresses = await self._checked(location)
        for _ in range(self._fetch.redirects + 1):
            async with self._answer(location, addresses) as answer:
                if answer.status not in REDIRECTS:
                    return await spooled(self._body(answer, hold))
                reference = _header(answer, "location")
            try:
                location = join(location, reference)
                addresses = await self._checked(location)
            except InvalidRequest as error:
                raise InvalidRequest(
                    f"The URL redirects to another one, which is refused: {error.message}",
                    code="audio_url_not_allowed",
                    param="url",
                ) from None
        raise _failed(
            f"redirects more than {self._fetch.redirects} times, the most that is followed; the setting is "
            f"{setting_name('fetch', 'redirects')}"
        )

    async def _checked(self, location: Location) -> list[Address]:
        """The addresses to connect to, if the location may be fetched from."""
        if location.scheme != "https" and not self._fetch.plain_http:
            raise _forbidden("is not https", "plain_http")
        if location.port not in self._fetch.ports:
            raise _forbidden("has a port that is not fetched from", "ports")
        if location.host not in self._hosts:
            raise _forbidden("has a host that is not fetched from", "hosts")
        try:
            async with asyncio.timeout(self._fetch.connect_seconds) as deadline:
                return await public_addresses(location, self._resolve)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise self._no_connection() from None

    @asynccontextmanager
    async def _answer(self, location: Location, addresses: Sequence[Address]) -> AsyncIterator[httpcore.Response]:
        """The answer to a GET, its body unread, over a connection of its own."""
        with self._told():
            async with self._door.answer(
                "GET",
                location,
                addresses,
                HEADERS,
                connect_s=self._fetch.connect_seconds,
                idle_s=self._fetch.idle_seconds,
            ) as answer:
                yield answer

    async def _body(self, answer: httpcore.Response, hold: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
        """The body's pieces, if it is a whole recording, of at most as many bytes as an upload may have."""
        if answer.status != 200:
            raise _failed(f"was answered with status {answer.status}")
        if _header(answer, "content-encoding").lower() not in ("", "identity"):
            raise _failed("was answered with compressed content, which was not asked for and is not unpacked")
        most = self._settings.limits.upload_bytes
        announced = _header(answer, "content-length")
        if announced.isdecimal() and int(announced) > most:
            raise _too_large(most)
        received = 0
        with self._told():
            async for piece in answer.aiter_stream():
                received += len(piece)
                if received > most:
                    raise _too_large(most)
                hold(len(piece))
                yield piece

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Around what the other side can make fail: its failures are ours to tell, in words of our own."""
        try:
            yield
        except httpcore.ConnectTimeout:
            raise self._no_connection() from None
        except httpcore.TimeoutException:
            raise _timed_out(
                f"The URL's host paused for {self._fetch.idle_seconds:g} seconds", setting_name("fetch", "idle_seconds")
            ) from None
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
            log.info("a recording was not fetched: %r", error)
            if any(isinstance(reason, ssl.SSLCertVerificationError) for reason in error.args):
                raise _failed("has a host whose certificate is not trusted, or is not for this host") from None
            raise _failed("could not be read: its host refused the connection or broke it off") from None

    def _no_connection(self) -> Unprocessable:
        return _timed_out(
            f"There was no connection to the URL's host within {self._fetch.connect_seconds:g} seconds",
            setting_name("fetch", "connect_seconds"),
        )


def _header(answer: httpcore.Response, name: str) -> str:
    """A header's value, several joined as HTTP joins them, or nothing."""
    values = [value for key, value in answer.headers if key.lower() == name.encode()]
    return b", ".join(values).decode("utf-8", "replace").strip()


def _forbidden(fault: str, setting: str) -> InvalidRequest:
    return InvalidRequest(
        f"The URL {fault} here. The setting is {setting_name('fetch', setting)}.",
        code="audio_url_not_allowed",
        param="url",
    )


def _failed(fault: str) -> Unprocessable:
    return Unprocessable(f"The URL {fault}.", code="audio_url_failed", param="url")


def _timed_out(what: str, setting: str) -> Unprocessable:
    return Unprocessable(f"{what}. The setting is {setting}.", code="audio_url_timeout", param="url")


def _too_large(most: int) -> TooLarge:
    return TooLarge(
        f"The recording at the URL has more than {most} bytes, the most that is accepted. The setting is "
        f"{setting_name('limits', 'upload_bytes')}.",
        code="upload_too_large",
        param="url",
    )
