"""Trusted reverse proxies, and the address of the client that X-Forwarded-For names behind them.

X-Forwarded-Proto is not read: nothing in a response depends on it.
uvicorn's ProxyHeadersMiddleware is not used: it takes any text for an address, does not know the
IPv4 addresses of a dual-stack socket (::ffff:10.0.0.1), and does not say which peers it trusts.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `bge serve --help` needs no extra
    from starlette.types import Scope

UNIX = "unix"  # any program that connects to the Unix socket
Client = tuple[str, int]


class Proxies:
    """`words`: addresses, networks, or UNIX, as `values.proxies` checks them."""

    def __init__(self, words: Sequence[str]) -> None:
        self._unix = UNIX in words
        self._networks = [ip_network(word) for word in words if word != UNIX]

    def trusts(self, peer: str) -> bool:
        """Whether a connection from this address comes from a proxy. "": from a Unix socket."""
        if not peer:
            return self._unix
        return bool(self._networks) and self._has(_address(peer))

    def client(self, scope: "Scope") -> Client | None:
        """Who sent the request: the last address of X-Forwarded-For that is of no proxy, if the
        peer is a proxy, else the peer. The port behind a proxy is 0."""
        peer: Client | None = scope.get("client")
        if not self.trusts(peer[0] if peer else ""):
            return peer
        found = peer
        lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        for word in reversed(b",".join(lines).decode("latin-1").split(",")):
            if (address := _address(word.strip())) is None:
                break
            found = (str(address), 0)
            if not self._has(address):
                break
        return found

    def _has(self, address: IPv4Address | IPv6Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address of 192.0.2.1, 192.0.2.1:80, 2001:db8::1 or [2001:db8::1]:80; None: it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found
