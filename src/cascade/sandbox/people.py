"""The people of the sandbox: how each phone behaves on each channel, and what reached it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

CHANNELS = ("telegram_bot", "viber_bot", "viber_business", "rcs", "sms", "flashcall")

DEFAULTS = {"telegram_bot": "absent", "viber_bot": "absent"}
"""A phone never set is on no bot, and on every other channel all is well."""

COUNTRY = "UA"
LANGUAGE = "uk"
"""Everyone in the sandbox lives in Ukraine: the bots must say something about their users."""

PHONE = re.compile(r"\+?([1-9][0-9]{6,14})")


class Behaviour(StrEnum):
    """How one phone answers on one channel."""

    DELIVERS = "delivers"
    READS = "reads"  # delivered, then read
    ABSENT = "absent"  # not on this channel
    BLOCKED = "blocked"
    REJECTS = "rejects"  # the provider refuses the request for good
    SILENT = "silent"  # accepted, no receipt ever
    LATE = "late"  # accepted, the receipt comes long after
    REPEATED = "repeats"  # every receipt comes twice
    THROTTLED = "throttled"  # the provider says "slow down" to the first try
    DOWN = "down"  # the provider's own fault on every try
    ANSWER_LOST = "answer_lost"  # it is sent, but the connection dies before the answer


class AnswerLostError(Exception):
    """The message is on the phone and its sender will never be told: the twin cuts the connection."""


def normal_phone(phone: str) -> str | None:
    """The phone with its plus, given with or without; None when it is not an international number."""
    match = PHONE.fullmatch(phone)
    return f"+{match[1]}" if match else None


def iso_now() -> str:
    """Now, in the form of `Received.received_at`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(slots=True)
class Counters:
    """What a twin has seen since its start, for tests and benches: every request, and the messages it took."""

    requests: int = 0
    accepted: int = 0


@dataclass(slots=True)
class Received:
    """One thing that reached a phone, as it would look there. `received_at` is ISO 8601 in UTC.

    `replies` maps an option to what the provider sends back when it is tapped; `account` is the bot or sender
    account it came through; `by` is the twin that brought it, where several carry the channel. All three are the twin's
    own knowledge and not part of the inbox.
    """

    channel: str
    sender: str
    text: str
    received_at: str
    media: dict[str, str] = field(default_factory=dict)
    buttons: list[dict[str, str]] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    revoked: bool = False
    provider_id: str = ""
    replies: dict[str, str] = field(default_factory=dict)
    account: str = ""
    by: "Answered | None" = None

    def as_json(self) -> dict[str, Any]:
        return {
            "channel": self.channel,
            "from": self.sender,
            "text": self.text,
            "media": self.media,
            "buttons": self.buttons,
            "options": self.options,
            "revoked": self.revoked,
            "received_at": self.received_at,
            "provider_id": self.provider_id,
        }


class Answered(Protocol):
    """Who is told when a person answers."""

    def answer(self, person: "Person", received: Received, option: str) -> None: ...


def missed_call(caller: str, provider_id: str) -> Received:
    """What a flash call leaves on the phone. `provider_id` is the provider's name for the call."""
    return Received("flashcall", caller, f"Missed call from {caller}", iso_now(), provider_id=provider_id)


@dataclass(slots=True)
class Person:
    phone: str
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    inbox: list[Received] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)  # channel -> chat id or Viber user id
    tries: dict[str, int] = field(default_factory=dict)  # channel -> sends seen, for `throttled`

    @property
    def name(self) -> str:
        return f"Person {self.phone[-4:]}"

    def on(self, channel: str) -> Behaviour:
        return self.behaviours.get(channel, Behaviour(DEFAULTS.get(channel, "delivers")))

    def behave(self, behaviours: Mapping[str, Behaviour]) -> None:
        """Behave so from now on; a channel not named goes back to its default, and `throttled` begins anew."""
        self.behaviours = dict(behaviours)
        self.tries.clear()

    def is_first_try(self, channel: str) -> bool:
        """Count a send on a channel, and say whether it is the first since the behaviour was set."""
        tries = self.tries[channel] = self.tries.get(channel, 0) + 1
        return tries == 1

    def as_json(self) -> dict[str, Any]:
        return {
            "phone": self.phone,
            "channels": {channel: self.on(channel) for channel in CHANNELS},
            "addresses": self.addresses,
            "received": len(self.inbox),
        }


class People:
    """Everyone the sandbox knows, by phone with its plus."""

    def __init__(self) -> None:
        self._by_phone: dict[str, Person] = {}
        self._by_address: dict[tuple[str, str], Person] = {}

    def get(self, phone: str) -> Person:
        """The person with this phone, made on first sight."""
        person = self._by_phone.get(phone)
        if person is None:
            person = self._by_phone[phone] = Person(phone)
        return person

    def look(self, phone: str) -> Person:
        """The person with this phone as they are or would be; looking makes nobody known."""
        return self._by_phone.get(phone) or Person(phone)

    def find(self, channel: str, address: str) -> Person | None:
        """The person behind a chat id or Viber user id; None when the bot has never met such a one."""
        return self._by_address.get((channel, address))

    def meet(self, phone: str, channel: str, address: str) -> Person:
        """Let the bot of `channel` know this person under `address`."""
        person = self.get(phone)
        person.addresses[channel] = address
        self._by_address[channel, address] = person
        return person

    def __iter__(self) -> Iterator[Person]:
        return iter(self._by_phone.values())
