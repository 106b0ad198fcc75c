"""What a message costs on a channel: a price for each part, by channel, sender and the phone's prefix.

Money is a whole number of millionths of the one configured currency: exact, and cheap to add.
"""

from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from cascade.core import gsm
from cascade.core.content import Content, plain_text
from cascade.core.words import Channel

MICROS = 1_000_000
_CACHED = 65_536
_SURELY_ONE = 80
"""So many characters of ASCII are one part: each costs two septets at most."""


class Price(NamedTuple):
    """What one part costs. `sender` None: whoever sends; `prefix` of the phone with its plus, "": whoever receives."""

    channel: Channel
    micros: int
    sender: str | None = None
    prefix: str = ""


class Prices:
    """A price list. Of the entries that fit, the one with the longest prefix counts, and of two such the sender's own.

    What has no price is free. `transliterates_sms`: typographic signs of an SMS are sent as their plain kin.
    """

    def __init__(self, entries: Iterable[Price] = (), *, transliterates_sms: bool = False) -> None:
        self.transliterates_sms = transliterates_sms
        self._micros: dict[tuple[Channel, str, str | None], int] = {
            (entry.channel, entry.prefix, entry.sender): entry.micros for entry in entries
        }
        self.channels = frozenset(channel for channel, _, _ in self._micros)
        lengths = {len(prefix) for _, prefix, _ in self._micros}
        self._lengths = sorted(lengths, reverse=True)
        self.longest_prefix = max(lengths, default=0)
        self._known: dict[tuple[Channel, str, str], int] = {}

    def per_part_micros(self, channel: Channel, sender: str, phone: str) -> int:
        key = (channel, sender, phone[: self.longest_prefix])
        micros = self._known.get(key)
        if micros is None:
            if len(self._known) >= _CACHED:
                self._known.clear()
            micros = self._known[key] = self._find(*key)
        return micros

    def _find(self, channel: Channel, sender: str, phone: str) -> int:
        for length in self._lengths:
            for named in (sender, None):
                micros = self._micros.get((channel, phone[:length], named))
                if micros is not None:
                    return micros
        return 0

    def sms_parts(self, content: Content) -> int:
        text = plain_text(content)
        if len(text) <= _SURELY_ONE and text.isascii():
            return 1
        return _sms_parts(text, self.transliterates_sms)

    def cost_micros(self, channel: Channel, sender: str, phone: str, content: Content) -> int:
        """Of the whole message on that channel, should a provider take it there."""
        micros = self.per_part_micros(channel, sender, phone)
        return micros * self.sms_parts(content) if micros and channel is Channel.SMS else micros


@lru_cache(maxsize=4096)
def _sms_parts(text: str, transliterates: bool) -> int:
    return gsm.segments(gsm.transliterate(text) if transliterates else text).parts


def micros_of(amount: Decimal) -> int:
    """Raises `ValueError` when it is no amount of money or finer than a millionth."""
    micros = amount * MICROS
    if not amount.is_finite() or amount < 0 or micros != micros.to_integral_value():
        raise ValueError("must be an amount of 0 or more with at most six decimals")
    return int(micros)


def written(micros: int) -> str:
    """The amount as a decimal: at least two decimals, and no more than it has."""
    whole, fraction = divmod(micros, MICROS)
    return f"{whole}.{f'{fraction:06}'.rstrip('0').ljust(2, '0')}"
