"""Who may use what: accounts by their keys, bots by their tokens, and the link that serves an account's channel."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cascade.core.route import Route, Step
from cascade.core.words import Channel


def digest(credential: str) -> bytes:
    """What is kept of a key or token to recognise it, 32 bytes. They are long and random: one plain hash is enough."""
    return hashlib.sha256(credential.encode()).digest()


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
    """A step of a named route as the configuration has it, before an account's links are known."""

    channel: Channel
    window_s: int | None


@dataclass(frozen=True)
class Directory:
    """A snapshot; a new one is made when an account, key or bot changes.

    `keys` maps the digest of an API key to its account; `shared` the channels whose link serves every account.
    """

    routes: Mapping[str, tuple[PlannedStep, ...]]
    shared: Mapping[Channel, str]
    keys: Mapping[bytes, int] = field(default_factory=dict)
    bots: tuple[Bot, ...] = ()
    _resolved: dict[tuple[int, str, frozenset[int], bool], Route] = field(default_factory=dict, repr=False)

    def account_of_key(self, key: str) -> int | None:
        return self.keys.get(digest(key))

    def bot_of_token(self, channel: Channel, token: str) -> Bot | None:
        wanted = digest(token)
        return next((bot for bot in self.bots if bot.channel is channel and bot.token_digest == wanted), None)

    def route(self, account_id: int, name: str, named: Iterable[Bot], *, is_limited: bool) -> Route:
        """The named route with the account's links filled in.

        `named` are the bots that the request named: each serves its channel instead of the account's first bot there.
        `is_limited`: the request came with bot tokens alone, so its cascade is limited to the bots named.
        """
        named_ids = frozenset(bot.id for bot in named)
        key = (account_id, name, named_ids, is_limited)
        route = self._resolved.get(key)
        if route is None:
            links = self._links(account_id, named_ids, is_limited)
            route = tuple(Step(step.channel, links.get(step.channel), step.window_s) for step in self.routes[name])
            self._resolved[key] = route
        return route

    def _links(self, account_id: int, named_ids: frozenset[int], is_limited: bool) -> dict[Channel, str]:
        links = {} if is_limited else dict(self.shared)
        own = [bot for bot in self.bots if bot.account_id == account_id]
        for bot in sorted(own, key=lambda bot: bot.id not in named_ids):
            if bot.id in named_ids or not is_limited:
                links.setdefault(bot.channel, bot.link)
        return links
