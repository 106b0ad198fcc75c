"""Whom the load writes to, how each of them behaves on each channel, and what they are sent."""

import random
from collections.abc import Mapping
from typing import NamedTuple

from cascade.sandbox.people import Behaviour

TELEGRAM_BOT, VIBER_BOT, SMS = "telegram_bot", "viber_bot", "sms"

SHARES: Mapping[str, Mapping[Behaviour, float]] = {
    TELEGRAM_BOT: {
        Behaviour.ABSENT: 50,
        Behaviour.DELIVERS: 29,
        Behaviour.BLOCKED: 5,
        Behaviour.REJECTS: 5,
        Behaviour.THROTTLED: 1,  # two of them in a row slow the whole link down
        Behaviour.DOWN: 5,
        Behaviour.ANSWER_LOST: 5,
    },
    VIBER_BOT: {
        Behaviour.ABSENT: 45,
        Behaviour.DELIVERS: 24,
        Behaviour.READS: 5,
        Behaviour.BLOCKED: 5,
        Behaviour.SILENT: 5,
        Behaviour.LATE: 5,
        Behaviour.THROTTLED: 1,  # two of them in a row slow the whole link down
        Behaviour.DOWN: 5,
        Behaviour.ANSWER_LOST: 5,
    },
    SMS: {
        Behaviour.DELIVERS: 76,
        Behaviour.LATE: 6,
        Behaviour.REPEATED: 5,
        Behaviour.SILENT: 4,
        Behaviour.THROTTLED: 0.5,  # the SMSC slows the whole link down for each of them
        Behaviour.ABSENT: 4,
        Behaviour.REJECTS: 3,
        Behaviour.DOWN: 1.5,
        Behaviour.ANSWER_LOST: 0.2,  # the SMSC cuts the whole connection, and with it the answers to others
    },
}
LONG_TEXT_SHARE = 0.05
LONG_TEXT = " It is written so long that an SMS has to carry it in two parts." * 3


class Sent(NamedTuple):
    """One message of the load and how its recipient behaves. Nobody gets two, so that every double is seen."""

    phone: str
    behaviours: Mapping[str, Behaviour]
    is_urgent: bool
    text: str

    def as_json(self, ttl_s: int) -> dict[str, object]:
        return {
            "id": f"chaos-{self.phone}",
            "fromName": "YourStore",
            "toPhone": self.phone,
            "messageType": "transaction" if self.is_urgent else "promo",
            "text": self.text,
            "ttl": ttl_s,
        }


def draw(chance: random.Random, number: int) -> Sent:
    """The person of this number, who is new to everyone, and their message."""
    behaviours = {channel: chance.choices(list(shares), list(shares.values()))[0] for channel, shares in SHARES.items()}
    text = f"Order {number} has been confirmed."
    if chance.random() < LONG_TEXT_SHARE:
        text += LONG_TEXT
    return Sent(f"+38067{number:07d}", behaviours, chance.random() < 0.5, text)
