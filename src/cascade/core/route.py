"""The ordered channels that a message tries, with the time each may take."""

import json
from functools import lru_cache
from typing import NamedTuple

from cascade.core.words import Channel


class Step(NamedTuple):
    """One channel of a route. `link` names the account at the provider that carries it, None: there is no such link.

    `window_s`: how long to wait for a receipt after the provider accepted; None: for the rest of the time to live.
    """

    channel: Channel
    link: str | None
    window_s: int | None


Route = tuple[Step, ...]


def encode(route: Route) -> str:
    """The route as it is stored with each message, so that a change of configuration leaves messages on their way
    alone."""
    return json.dumps([[step.channel.value, step.link, step.window_s] for step in route], separators=(",", ":"))


@lru_cache(maxsize=4096)
def decode(text: str) -> Route:
    return tuple(Step(Channel(channel), link, window_s) for channel, link, window_s in json.loads(text))
