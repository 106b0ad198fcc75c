"""Who may use what: accounts by their keys, bots by their tokens, and the link that serves an account's channel."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import NamedTuple

from cascade.core import turns
from cascade.core.route import Route, Step
from cascade.core.words import Channel


def digest(credential: str) -> bytes:
    """What is kept of a key or token to recognise it, 32 bytes. They are long and random: one plain hash is enough."""
    return hashlib.sha256(credential.encode()).digest()


class Scope(StrEnum):
    """What an API key may do."""

    SEND = "send"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`expires_at_ms` None: never. `networks` None: it may be used from anywhere."""

    account_id: int
    name: str
    scopes: frozenset[Scope] = frozenset(Scope)
    expires_at_ms: int | None = None
    networks: tuple[IPv4Network | IPv6Network, ...] | None = None

    def is_valid(self, now_ms: int) -> bool:
        return self.expires_at_ms is None or now_ms < self.expires_at_ms

    def may(self, scope: Scope, host: str) -> bool:
        """Whether it may do that from that address. A host that is no address is nowhere."""
        if scope not in self.scopes:
            return False
        if self.networks is None:
            return True
        try:
            address = ip_address(host)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket of `burst` requests that refills with `per_s` a second; `per_s` 0: no limit."""

    per_s: int
    burst: int


@dataclass(frozen=True, slots=True)
class Account:
    """`senders` None: any `fromName` will do. `is_strict`: every unknown field is refused. A rate that is None is the
    configuration's."""

    id: int
    name: str
    is_strict: bool = False
    senders: frozenset[str] | None = None
    send_rate: Rate | None = None
    read_rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class Bot:
    """A bot of one account. `link` is the name of the link that speaks for it."""

    id: int
    account_id: int
    channel: Channel
    token_digest: bytes

    @property
    def link(self) -> str:
        return f"{self.channel.value}.{self.id}"


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step of a route before an account's links are known. `takes_surveys`: a survey goes this way too."""

    channel: Channel
    window_s: int | None
    takes_surveys: bool = False
    is_until_read: bool = False


class SharedLink(NamedTuple):
    """A link that serves more than one account. `weight`: its share of the channel's messages, beside the others'.
    `accounts`: the names of those whom it serves; None: all."""

    link: str
    channel: Channel
    weight: int = 1
    accounts: frozenset[str] | None = None

    def serves(self, account: str | None) -> bool:
        return self.accounts is None or account in self.accounts


Links = Mapping[Channel, tuple[str, ...]]
"""The links that serve each channel of an account, each as often as it is its turn among the others."""


@dataclass(frozen=True)
class Directory:
    """A snapshot; a new one is made when an account, key or bot changes.

    `keys` are found by their digest; `shared` stand in the order in which one takes over from another.
    """

    routes: Mapping[str, tuple[PlannedStep, ...]]
    shared: tuple[SharedLink, ...]
    accounts: Mapping[int, Account] = field(default_factory=dict)
    keys: Mapping[bytes, ApiKey] = field(default_factory=dict)
    bots: tuple[Bot, ...] = ()
    _links: dict[tuple[int, frozenset[int], bool], Links] = field(default_factory=dict, repr=False)

    def api_key(self, key: str) -> ApiKey | None:
        """The key itself is never compared: its digest is looked up, which tells an attacker nothing by its time."""
        return self.keys.get(digest(key))

    def bot_of_token(self, channel: Channel, token: str) -> Bot | None:
        wanted = digest(token)
        return next((bot for bot in self.bots if bot.channel is channel and bot.token_digest == wanted), None)

    def shared_with(self, account_id: int) -> list[SharedLink]:
        """The shared links that serve an account."""
        account = self.accounts.get(account_id)
        name = None if account is None else account.name
        return [one for one in self.shared if one.serves(name)]

    def links(self, account_id: int, named: Iterable[Bot], *, is_limited: bool) -> Links:
        """The links that serve each channel of the account.

        `named` are the bots that the request named: each serves its channel instead of the account's first bot there.
        `is_limited`: the request came with bot tokens alone, so its cascade is limited to the bots named.
        """
        named_ids = frozenset(bot.id for bot in named)
        key = (account_id, named_ids, is_limited)
        links = self._links.get(key)
        if links is None:
            links = self._links[key] = self._find_links(account_id, named_ids, is_limited)
        return links

    def _find_links(self, account_id: int, named_ids: frozenset[int], is_limited: bool) -> Links:
        shared: dict[Channel, list[SharedLink]] = {}
        if not is_limited:
            for one in self.shared_with(account_id):
                shared.setdefault(one.channel, []).append(one)
        links = {channel: turns.in_turn([(one.link, one.weight) for one in some]) for channel, some in shared.items()}
        own = [bot for bot in self.bots if bot.account_id == account_id]
        for bot in sorted(own, key=lambda bot: bot.id not in named_ids):
            if bot.id in named_ids or not is_limited:
                links.setdefault(bot.channel, (bot.link,))
        return links


NO_LINKS: tuple[str, ...] = ()


def resolve(planned: Iterable[PlannedStep], links: Links, turn: int = 0) -> Route:
    """The steps with their links filled in: of several, the one whose turn it is, and the others behind it in their
    order. One whose channel has none stays, and is skipped with that reason."""
    steps = []
    for step in planned:
        own = links.get(step.channel, NO_LINKS)
        link = own[turn % len(own)] if own else None
        others = tuple(other for other in dict.fromkeys(own) if other != link)
        steps.append(Step(step.channel, link, step.window_s, step.is_until_read, others=others))
    return tuple(steps)
