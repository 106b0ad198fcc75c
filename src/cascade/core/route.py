"""The ordered channels that a message tries, with the time each may take."""

import json
from functools import lru_cache
from typing import NamedTuple

from cascade.core.words import Channel


class Step(NamedTuple):
    """One channel of a route. `link` names the account at the provider that carries it, None: there is no such link.

    `window_s`: how long to wait for a receipt after the provider accepted; None: for the rest of the time to live.
    `is_until_read`: delivered is not enough, the step waits until the person has read it. `cost_micros`: what the
    whole message costs on this channel, in millionths of the account's currency. `address`: where the client says that
    the person is found on this channel; None: to be looked up, or the phone. `others`: links that can carry it in place
    of `link`, in the order in which they are tried.
    """

    channel: Channel
    link: str | None
    window_s: int | None
    is_until_read: bool = False
    cost_micros: int = 0
    address: str | None = None
    others: tuple[str, ...] = ()


Route = tuple[Step, ...]


PLAIN = (False, 0, None, ())
"""What most steps say beyond channel, link and window."""


@lru_cache(maxsize=4096)
def encode(route: Route) -> str:
    """The route as it is stored with each message, so that a change of configuration leaves messages on their way
    alone."""
    return json.dumps(
        [
            [
                step.channel.value,
                step.link,
                step.window_s,
                *([int(step.is_until_read), step.cost_micros, step.address, step.others] if step[3:] != PLAIN else []),
            ]
            for step in route
        ],
        separators=(",", ":"),
    )


@lru_cache(maxsize=4096)
def decode(text: str) -> Route:
    return tuple(
        Step(Channel(channel), link, window_s, *((bool(rest[0]), rest[1], rest[2], tuple(*rest[3:])) if rest else ()))
        for channel, link, window_s, *rest in json.loads(text)
    )
