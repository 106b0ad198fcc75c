"""The words of the house, each with one meaning (docs/glossary.md maps them to the vendors' terms)."""

from enum import StrEnum


class Channel(StrEnum):
    """A kind of network that reaches a person."""

    TELEGRAM_BOT = "telegram_bot"
    VIBER_BOT = "viber_bot"
    VIBER_BUSINESS = "viber_business"
    RCS = "rcs"
    SMS = "sms"
    FLASHCALL = "flashcall"

    @property
    def needs_subscriber(self) -> bool:
        """A bot can only write to a person who has talked to it: by an address it learnt, not by phone."""
        return self in (Channel.TELEGRAM_BOT, Channel.VIBER_BOT)

    @property
    def confirms_delivery(self) -> bool:
        """Whether it ever says that a message arrived. Telegram does not: its acceptance is all there will ever be."""
        return self is not Channel.TELEGRAM_BOT


class MessageType(StrEnum):
    """`is_urgent`: a person waits for it, so it never waits behind a campaign. `is_advertising`: not to be sent to a
    person who asked for no more of it. `repeats_unknown`: better twice than never, so it is repeated when nobody knows
    whether the first send went out (contract, section 7).

    Attributes, not properties: they are asked for several times for each message.
    """

    TRANSACTION = "transaction"
    PROMO = "promo"
    VIBER_SURVEY = "viber_survey"
    FLASHCALL = "flashcall"

    def __init__(self, value: str) -> None:
        self.is_urgent = value in ("transaction", "flashcall")
        self.is_advertising = not self.is_urgent
        self.repeats_unknown = self.is_urgent


class Reason(StrEnum):
    """Why an attempt did not deliver, or a step was skipped. Part of the API: shown in the timeline."""

    NO_CHANNEL = "no_channel"  # the account has no such channel
    NOT_SUBSCRIBED = "not_subscribed"  # the person never talked to the bot, or left it
    OPTED_OUT = "opted_out"  # the person asked for no more advertising from this account
    CONTENT_UNFIT = "content_unfit"  # the channel cannot carry this content
    UNKNOWN_RECIPIENT = "unknown_recipient"  # the provider knows no such person
    BLOCKED = "blocked"  # the person refuses messages from this sender
    BUSY = "busy"  # the phone was in another call
    ANSWERED = "answered"  # a call that should only ring was taken, by a voicemail perhaps
    INVALID_CONTENT = "invalid_content"  # the provider refused what we sent
    INVALID_SENDER = "invalid_sender"  # the provider refused the sender's name
    MISCONFIGURED = "misconfigured"  # wrong credentials or settings of the link
    NO_CREDIT = "no_credit"  # the provider wants money
    THROTTLED = "throttled"  # the provider asked us to slow down, for all or for one person
    PROVIDER_DOWN = "provider_down"  # no connection, or the provider's own fault
    PROVIDER_REFUSED = "provider_refused"  # refused for a reason that fits nothing above
    UNDELIVERABLE = "undeliverable"  # a receipt: it did not arrive
    EXPIRED_AT_PROVIDER = "expired_at_provider"  # a receipt: the provider's own time to live ran out
    NO_RECEIPT = "no_receipt"  # the window closed in silence
    NO_ANSWER = "no_answer"  # the request left us and no answer came
    NODE_LOST = "node_lost"  # our node died while it was sending
    QUEUE_TOO_LONG = "queue_too_long"  # its turn at the link did not come in time
    TTL_EXPIRED = "ttl_expired"  # the message's own time to live ran out
    OVER_MAX_COST = "over_max_cost"  # the step would take the message's cost over its limit
    CANCELLED = "cancelled"
