"""Which addresses a client may have us call. A webhook's URL must never become a way into the operator's network.

Registries of special addresses: https://www.iana.org/assignments/iana-ipv4-special-registry and
https://www.iana.org/assignments/iana-ipv6-special-registry; forms of addresses in URLs: https://url.spec.whatwg.org.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from cascade.core.errors import CascadeError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST_URL = 2_048
DEFAULT_PORTS = {"https": 443, "http": 80}
PLAIN = re.compile(r"[!-~]+\Z")
NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*\Z")
NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
"""A last label that makes a URL parser take the whole host for an IPv4 address: 2130706433, 0x7f.1, 0177.0.0.1."""

GLOBAL_V6 = IPv6Network("2000::/3")
"""All that is handed out as global unicast. Python counts more as global, such as ::127.0.0.1."""
NAT64 = IPv6Network("64:ff9b::/96")
EXTRA_REFUSED = tuple(map(IPv4Network, ("192.0.0.0/24", "192.88.99.0/24")))
"""Protocol assignments and the old 6to4 relays, which some Python versions count as global."""


class TargetRefusedError(CascadeError):
    """We do not call this address. The text says which rule it breaks; an operator may allow it (`webhooks.allow`)."""


class Target(NamedTuple):
    """A URL whose form is in order. `url` is built from the parts that were checked, so that no other parser can find
    another host in it; `host` is a name still to be resolved, or an address that was checked."""

    url: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Targets:
    """The rules. `hosts` and `networks` are the operator's own, exempt from the rule that addresses be global; no
    `ports` means any."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    is_http_allowed: bool = False
    ports: frozenset[int] = frozenset({443})

    @classmethod
    def of(cls, allow: Iterable[str], *, is_http_allowed: bool, ports: Iterable[int]) -> Self:
        """From settings: each of `allow` is a network, an address or a host's name. Raises `ValueError`."""
        networks, hosts = [], set()
        for one in allow:
            if ":" in one or "/" in one or NUMBER.search(one):
                networks.append(ip_network(one))
            elif NAME.match(one.lower()):
                hosts.add(one.lower())
            else:
                raise ValueError(f"{one!r} is neither a network nor a host's name")
        return cls(tuple(networks), frozenset(hosts), is_http_allowed, frozenset(ports))

    def check_url(self, url: str) -> Target:
        """The target of a URL; raises `TargetRefusedError`. A host that is a name is not resolved here."""
        if len(url) > LONGEST_URL or not PLAIN.match(url) or "\\" in url:
            raise TargetRefusedError(
                f"Write a URL of at most {LONGEST_URL} ASCII characters without spaces; a host's name as xn--…"
            )
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise TargetRefusedError("This is not a URL") from None
        if parts.scheme != "https" and not (self.is_http_allowed and parts.scheme == "http"):
            raise TargetRefusedError("The URL must begin with https://")
        if "@" in parts.netloc:
            raise TargetRefusedError("The URL must not hold a user or a password: check the signature instead")
        if parts.fragment:
            raise TargetRefusedError("The URL must not have a fragment (#…)")
        host = self._check_host(parts.hostname or "", is_bracketed="[" in parts.netloc)
        effective = DEFAULT_PORTS[parts.scheme] if port is None else port
        if self.ports and effective not in self.ports:
            raise TargetRefusedError(f"The port must be one of {', '.join(map(str, sorted(self.ports)))}")
        shown = f"[{host}]" if ":" in host else host
        where = shown if port is None else f"{shown}:{port}"
        query = f"?{parts.query}" if parts.query else ""
        return Target(f"{parts.scheme}://{where}{parts.path or '/'}{query}", host, effective)

    def check_addresses(self, host: str, addresses: Iterable[str]) -> None:
        """Each address that a name resolved to; raises `TargetRefusedError` when one may not be called."""
        if host.lower() in self.hosts:
            return
        for text in addresses:
            address = ip_address(text.partition("%")[0])
            meant = [address, *embedded(address)]
            if any(one in network for network in self.networks for one in meant if one.version == network.version):
                continue
            if not is_global(address):
                raise TargetRefusedError("The host's address is not a public one")

    def _check_host(self, host: str, *, is_bracketed: bool) -> str:
        if is_bracketed:
            try:
                address = IPv6Address(host)
            except ValueError:
                raise TargetRefusedError("The host is not an IPv6 address") from None
            self.check_addresses(host, [host])
            return str(address)
        host = host.removesuffix(".")
        if not NAME.match(host):
            raise TargetRefusedError("The URL must name a host")
        if NUMBER.match(host.rpartition(".")[2]):
            try:
                IPv4Address(host)
            except ValueError:
                raise TargetRefusedError("Write an IPv4 address as four decimal numbers") from None
            self.check_addresses(host, [host])
        return host


def is_global(address: Address) -> bool:
    """Whether it, and every IPv4 address wrapped in it, lies on the public internet."""
    if isinstance(address, IPv4Address):
        is_special = address.is_multicast or any(address in network for network in EXTRA_REFUSED)
        return address.is_global and not is_special
    wrapped = embedded(address)
    if wrapped:
        return all(is_global(one) for one in wrapped)
    return address in GLOBAL_V6 and address.is_global


def embedded(address: Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 one leads to: mapped, 6to4, Teredo (server and client) or NAT64."""
    if isinstance(address, IPv4Address):
        return []
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address.teredo is not None:
        return list(address.teredo)
    if address in NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    return []
