"""The guard of outbound connections: nobody who writes a URL reaches what only this machine or network can reach.

A host is resolved, every address that it has is checked, and the connection goes to a checked, numeric address. What
was checked is what is used: a name that changes its address in between gains nothing, and a redirect is checked like
any other URL.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import httpcore2

from connectors.sockets import Stream
from domain.errors import ConnectorError, ErrorCode

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Numeric addresses of (host, port). Raises ``OSError`` when there are none."""

Address = IPv4Address | IPv6Address
SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]

_WEB_PORTS: Final = frozenset({80, 443})
_FIRST_FREE_PORT: Final = 1024
_MAX_ADDRESSES: Final = 4

# Special-purpose blocks of the IANA registries that older releases of ``ipaddress`` take for global.
_SPECIAL: Final = tuple(
    ipaddress.ip_network(block)
    for block in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "::/8",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
    )
)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether ``address`` belongs to the open internet, also behind the forms that carry an IPv4 address inside."""
    if isinstance(address, IPv6Address):
        inside = _inside(address)
        if inside is not None:
            return is_public(inside)
    if not address.is_global or address.is_multicast:
        return False
    return not any(address in block for block in _SPECIAL if block.version == address.version)


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a mapped, 6to4 or NAT64 address leads to."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Addresses as the system knows them: hosts file, DNS, and the odd ways of writing numbers. Nothing is kept."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guard:
    """Decides to which addresses a connection may go.

    ``allow_private``: ``host`` or ``host:port`` that the operator trusts wherever they lead.
    """

    def __init__(self, allow_private: Iterable[str] = (), resolver: Resolver = system_resolver) -> None:
        self._trusted = frozenset(entry.strip().lower() for entry in allow_private)
        self._resolver = resolver

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Numeric addresses of ``host``, all of them checked; at most a few.

        Raises ``ConnectorError``: ``FORBIDDEN`` for what is not public, ``TRANSIENT_NETWORK`` for an unknown name.
        """
        trusted = self._is_trusted(host, port)
        if port not in _WEB_PORTS and port < _FIRST_FREE_PORT and not trusted:
            raise _refusal(host, port, f"port {port} is not one of the web's")
        found = [host] if _literal(host) else await self._resolve(host, port)
        if not trusted:
            for each in found:
                address = _literal(each)
                if address is None or not is_public(address):
                    raise _refusal(host, port, f"{each} is not a public address")
        return found[:_MAX_ADDRESSES]

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        try:
            found = await self._resolver(host, port)
        except (OSError, UnicodeError):
            found = ()
        if not found:
            raise ConnectorError(ErrorCode.TRANSIENT_NETWORK, f"the name {host} cannot be resolved")
        return found

    def _is_trusted(self, host: str, port: int) -> bool:
        name = f"[{host}]" if ":" in host else host
        return not self._trusted.isdisjoint({host.lower(), name.lower(), f"{name.lower()}:{port}"})


def _literal(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _refusal(host: str, port: int, why: str) -> ConnectorError:
    return ConnectorError(
        ErrorCode.FORBIDDEN,
        f"{host} may not be reached: {why}. If this deployment is meant to reach it, its operator can add "
        f"{host} or {host}:{port} to STEPWELL_HTTP_ALLOW_PRIVATE",
        details={"host": host, "port": port},
    )


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Opens TCP connections to addresses that the guard has checked, one after the other until one answers."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's interface
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[SocketOption] | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to ``host``; ``timeout`` seconds are for all its addresses together."""
        addresses = await self._guard.addresses(host, port)
        share = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await Stream.connect(address, port, share)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await Stream.connect(addresses[-1], port, share)

    async def sleep(self, seconds: float) -> None:
        """Httpcore asks for it."""
        await asyncio.sleep(seconds)
