"""Connections of the HTTP client, straight on asyncio.

They know without a system call whether the other side has closed: the pool asks that of every idle connection, again
and again, and with a call for each it was half of a request's cost.
"""

import asyncio
import ssl
from typing import Any, Final

import httpcore2

_FULL: Final = 256 * 1024
"""Bytes that may wait to be read before the other side has to."""


class Stream(asyncio.Protocol, httpcore2.AsyncNetworkStream):
    """One TCP connection. One task reads and writes it at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._received = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._reading_paused = False
        self._writing_paused = False
        self._waiter: asyncio.Future[None] | None = None

    @classmethod
    async def connect(cls, address: str, port: int, timeout: float | None) -> "Stream":  # noqa: ASYNC109
        """A connection to a numeric address. Raises httpcore's ``ConnectError`` or ``ConnectTimeout``."""
        try:
            async with asyncio.timeout(timeout):
                _, stream = await asyncio.get_running_loop().create_connection(cls, address, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"{address} does not answer") from error
        except OSError as error:
            raise httpcore2.ConnectError(f"{address} cannot be reached") from error
        return stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """What has come in, at most ``max_bytes``; waits for some; nothing at the end."""
        if not self._received and not self._ended:
            try:
                await self._wait(timeout)
            except TimeoutError as error:
                raise httpcore2.ReadTimeout("nothing to read") from error
        if self._received:
            part = bytes(self._received[:max_bytes])
            del self._received[:max_bytes]
            if self._reading_paused and len(self._received) < _FULL and not self._transport.is_closing():
                self._reading_paused = False
                self._transport.resume_reading()
            return part
        if self._error is not None:
            raise httpcore2.ReadError("the connection broke") from self._error
        return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send ``buffer``; waits while the other side does not keep up."""
        if not buffer:
            return
        if self._transport.is_closing():
            raise httpcore2.WriteError("the connection is closed")
        self._transport.write(buffer)
        while self._writing_paused and not self._ended:
            try:
                await self._wait(timeout)
            except TimeoutError as error:
                raise httpcore2.WriteTimeout("the other side does not read") from error

    async def aclose(self) -> None:
        """Close at once."""
        self._transport.close()
        await asyncio.sleep(0)
        self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        """Encrypt from here on."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                encrypted = await loop.start_tls(self._transport, self, ssl_context, server_hostname=server_hostname)
        except TimeoutError as error:
            self._transport.abort()
            raise httpcore2.ConnectTimeout("no TLS in time") from error
        except OSError as error:
            self._transport.abort()
            raise httpcore2.ConnectError("no TLS") from error
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        if encrypted is None:
            raise httpcore2.ConnectError("the connection was closed before TLS")
        self._transport = encrypted
        return self

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a stream."""
        match info:
            case "is_readable":
                return self._ended or bool(self._received)
            case "ssl_object" | "socket":
                return self._transport.get_extra_info(info)
            case "client_addr":
                return self._transport.get_extra_info("sockname")
            case "server_addr":
                return self._transport.get_extra_info("peername")
            case _:
                return None

    async def _wait(self, seconds: float | None) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the connection stands."""
        self._transport = transport  # type: ignore[assignment]  # of TCP: it reads and writes

    def data_received(self, data: bytes) -> None:
        """Asyncio: something came in."""
        self._received += data
        if len(self._received) >= _FULL and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Asyncio: nothing more will come."""
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio: the connection is gone."""
        self._ended = True
        self._error = exc
        self._wake()

    def pause_writing(self) -> None:
        """Asyncio: too much waits to be sent."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Asyncio: it has been sent."""
        self._writing_paused = False
        self._wake()
