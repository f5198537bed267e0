"""Calls to addresses that somebody else chose: push services, webhooks.

Guarantees
- A call goes to a public address or into `outward.allow_networks`, and nowhere else. The name is resolved and
  judged when the connection is made, and the connection is made to the very address that was judged, so that a
  name which answers differently the second time (DNS rebinding) gains nothing. The certificate is checked
  against the name.
- Plain HTTP only into `outward.allow_networks`. No redirects, no cookies, no proxy from the environment.
- A call ends within `total_s`, and no more than `most_bytes` of an answer are read.

Neighbours: `notify/` and `webhooks/` call `post` and do their own queues and retries. What must be bounded per
receiver is theirs as well: a call here waits for nobody but the one it calls.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx
import msgspec

from majung.settings import OutwardSettings

MAX_URL_CHARS = 2_000
MAX_CONNECTIONS = 512
_IDLE_S = 60.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class NotAllowed(Exception):
    """The address lies where no call may go. `str()` says why, without what the name resolved to."""


class Unreachable(Exception):
    """No answer: no such name, refused, cut, too slow, a certificate that does not hold."""


class Answer(msgspec.Struct, frozen=True):
    """What came back. Names of headers are lower case; `body` is its beginning."""

    status: int
    headers: dict[str, str]
    body: bytes


class Outward:
    """One for each server; belongs to its event loop."""

    def __init__(self, settings: OutwardSettings) -> None:
        self._networks = networks_of(settings.allow_networks)
        self._total_s = settings.timeout.total_seconds()
        self._context: ssl.SSLContext | None = None
        self._pools: dict[str, httpcore.AsyncConnectionPool] = {}

    async def close(self) -> None:
        """Cut what is open."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.aclose()

    def check_url(self, url: str) -> None:
        """Whether this may be called, as far as can be said without asking for the name. Raises ValueError."""
        host, scheme = _parts(url)
        if scheme == "http" and not self._networks:
            raise ValueError("the URL must begin with https://")
        address = _literal(host)
        if address is not None and not is_allowed(address, self._networks, private_only=scheme == "http"):
            raise ValueError("the URL must not lead into a private network (setting outward.allow_networks)")

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, most_bytes: int = 4_096
    ) -> Answer:
        """Send; whatever status comes back is an answer. Raises ValueError, NotAllowed, Unreachable."""
        self.check_url(url)
        try:
            async with asyncio.timeout(self._total_s):
                return await self._post(url, headers, body, most_bytes)
        except TimeoutError:
            raise Unreachable(f"no answer within {self._total_s:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as problem:
            raise Unreachable(str(problem) or type(problem).__name__) from problem

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes, most_bytes: int) -> Answer:
        pool = self._pool(urlsplit(url).scheme.lower())
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        # Of a name with several addresses, one that swallows everything must leave time for the next.
        patience = {"timeout": {"connect": self._total_s / 3}}
        async with pool.stream("POST", url, headers=fields, content=body, extensions=patience) as response:
            found = {name.decode("latin-1").lower(): v.decode("latin-1") for name, v in response.headers}
            read = bytearray()
            async for chunk in response.aiter_stream():
                read += chunk
                if len(read) >= most_bytes:
                    break  # leaving the block with a rest unread closes the connection
            return Answer(response.status, found, bytes(read[:most_bytes]))

    def _pool(self, scheme: str) -> httpcore.AsyncConnectionPool:
        if scheme not in self._pools:
            if self._context is None:
                self._context = httpx.create_ssl_context()  # SSL_CERT_FILE, or the authorities of certifi
            self._pools[scheme] = httpcore.AsyncConnectionPool(
                ssl_context=self._context,
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_CONNECTIONS // 4,
                keepalive_expiry=_IDLE_S,
                network_backend=_Judging(self._networks, private_only=scheme == "http"),
            )
        return self._pools[scheme]


def networks_of(text: str) -> tuple[IpNetwork, ...]:
    """`"10.0.0.0/8, fd00::/8"` → networks. Raises ValueError."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def is_allowed(address: IpAddress, networks: Iterable[IpNetwork], private_only: bool = False) -> bool:
    """Public, or in one of `networks`. An IPv4 address that an IPv6 one carries is judged as well."""
    carried = [address, *_carried(address)]
    if any(one in network for network in networks for one in carried):
        return True
    return not private_only and all(one.is_global and not one.is_multicast for one in carried)


def _carried(address: IpAddress) -> list[IpAddress]:
    """IPv4-mapped, 6to4 (RFC 3056), Teredo (RFC 4380), NAT64 (RFC 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[IpAddress | None] = [address.ipv4_mapped, address.sixtofour]
    found += address.teredo or ()
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return [one for one in found if one is not None]


def _parts(url: str) -> tuple[str, str]:
    """Host and scheme. Raises ValueError when it is no URL to send to."""
    if len(url) > MAX_URL_CHARS or not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise ValueError(f"a URL has at most {MAX_URL_CHARS} characters, all of them ASCII, without spaces")
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https"):
        raise ValueError("the URL must begin with https://")
    if not parts.hostname or "@" in parts.netloc:
        raise ValueError("the URL must name a host, and no user")
    if parts.port == 0:  # raises ValueError itself when it is no number
        raise ValueError("the URL must not name port 0")
    return parts.hostname, parts.scheme.lower()


def _literal(host: str) -> IpAddress | None:
    """The address when the host is written as one. Odd spellings (`127.1`) are names to us, judged resolved."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class _Judging(httpcore.AsyncNetworkBackend):
    """Connects to what a name resolves to, after a look at it; the caller's TLS goes on with the name."""

    def __init__(self, networks: tuple[IpNetwork, ...], private_only: bool) -> None:
        self._networks = networks
        self._private_only = private_only
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- the name that httpcore calls it by
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises NotAllowed, httpcore.ConnectError, httpcore.ConnectTimeout."""
        last: Exception | None = None
        for address in await self._judged(host, port):
            try:
                return await self._inner.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as problem:
                last = problem
        assert last is not None
        raise last

    async def _judged(self, host: str, port: int) -> list[IpAddress]:
        """Every address of the name; one that is not allowed spoils them all."""
        loop = asyncio.get_running_loop()
        try:
            rows = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as problem:
            raise httpcore.ConnectError(f"the name of the host is not known: {problem}") from problem
        addresses = list({ipaddress.ip_address(str(row[4][0]).partition("%")[0]): None for row in rows})
        if not all(is_allowed(address, self._networks, self._private_only) for address in addresses):
            raise NotAllowed("the host is in a network that is not allowed (setting outward.allow_networks)")
        if not addresses:
            raise httpcore.ConnectError("the name of the host has no address")
        return addresses
