"""RCS for Business, Google's own API: `phones.agentMessages.create` of one agent.

How content is fitted:
- a picture or a video stands in a card above the text (at most 2,000 characters and 4 buttons there); a device without
  cards, or a card that Google refuses, gets the text with the links below it;
- a PDF without text goes as a file, any other file as a link below the text;
- a button is a suggested action that opens the link, a survey's options are suggested replies: at most 11 beside a
  text, 25 characters each (a longer one is cut, and ends in an ellipsis).

The id of a message is ours and depends on message and step alone, so a repeat of a send is recognised. Before the first
message to a phone in a while its capabilities are asked, unless `check_capabilities` is off: who is not reachable costs
no send, and who cannot see cards gets none.

Sources: https://developers.google.com/business-communications/rcs-business-messaging/reference/rest/v1/phones.agentMessages
(also guides/build/messages/send, revoke, events, capabilities, integrate/webhooks),
https://developers.google.com/identity/protocols/oauth2/service-account (the token).
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from uuid_utils import UUID, uuid4, uuid5

from cascade.channels import jwt
from cascade.channels.base import Answer, Callback, Capabilities, Heard
from cascade.channels.fitting import Change, Fitted
from cascade.channels.http import HttpRequest, HttpResponse, Token, header, redact
from cascade.channels.rcs.content import MAX_CARD_CHIPS, MAX_CARD_TEXT, MAX_CHIPS, MAX_TEXT, MAX_URL, label, payload
from cascade.core.attempt import Accepted, AnswerLost, Attempt, Outcome, Rejected, Retry, Revocation, Sent
from cascade.core.content import Button, Content, Media
from cascade.core.errors import ConfigError, ForgedCallbackError, MalformedCallbackError
from cascade.core.inbound import Inbound, InboundKind
from cascade.core.receipt import Receipt, ReceiptState
from cascade.core.secret import Secret
from cascade.core.words import Channel, MessageType, Reason

log = structlog.get_logger()

BASE_URL = "https://rcsbusinessmessaging.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/rcsbusinessmessaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_S = 3600
SHORTEST_TTL_S = 10  # below, phones are likely to notify twice
LONGEST_TTL_S = 15 * 86_400
CARDS = "RICHCARD_STANDALONE"
REACHABLE_S = 24 * 3600.0
UNREACHABLE_S = 3600.0
MOST_KNOWN = 100_000
NAMESPACE = UUID("2f7b0c5e-9f0e-4f0c-8f43-6a2d3b1c7e10")
PLAIN_PHONE = re.compile(r"\+?[0-9]+").fullmatch

TRAFFIC = {MessageType.PROMO: "PROMOTION", MessageType.VIBER_SURVEY: "PROMOTION"}
STATES = {"DELIVERED": ReceiptState.DELIVERED, "READ": ReceiptState.READ}
OTHER_EVENTS = frozenset({"IS_TYPING", "TTL_EXPIRATION_REVOKE_FAILED"})
SUBSCRIPTIONS = {"SUBSCRIBE": "START", "UNSUBSCRIBE": "STOP"}
"""Events of the client's own menu, and the word that a person would have written instead."""


class Reach(NamedTuple):
    """What is known of a phone."""

    is_reachable: bool
    has_cards: bool = False


@dataclass(frozen=True)
class GoogleRcs:
    """One agent. `service_account` is the JSON of its service account's key, or `service_account_file` the path of it.

    `client_token` is what the agent's webhook was set up with: it signs what Google tells us. `base_url` may name the
    agent's region. `traffic` says what a `transaction` is to Google: TRANSACTION, AUTHENTICATION, SERVICEREQUEST or
    ACKNOWLEDGEMENT. Raises ConfigError when the key cannot be used.
    """

    agent_id: str
    client_token: Secret
    service_account: Secret | None = None
    service_account_file: str | None = None
    base_url: str = BASE_URL
    token_url: str | None = None
    traffic: str = "TRANSACTION"
    check_capabilities: bool = True
    _known: "OrderedDict[str, tuple[Reach, float]]" = field(
        default_factory=OrderedDict, init=False, repr=False, compare=False
    )

    capabilities: ClassVar[Capabilities] = Capabilities(
        Channel.RCS, has_receipts=True, takes_our_id=True, can_revoke=True
    )

    def __post_init__(self) -> None:
        _ = self._key

    # -- sending ------------------------------------------------------------------------------------------------------

    def fits(self, content: Content, type: MessageType) -> Reason | None:  # noqa: A002 - the word of the house
        return Reason.CONTENT_UNFIT if fitted(content, type) is None else None

    def check_request(self, attempt: Attempt) -> HttpRequest | None:
        if not self.check_capabilities or self._reach(attempt.address) is not None:
            return None
        url = f"{self._phone_url(attempt.address)}/capabilities"
        return HttpRequest("GET", f"{url}?requestId={uuid4()}&{self._agent_query}")

    def checked(self, attempt: Attempt, response: HttpResponse) -> Rejected | None:
        match response.status:
            case 200:
                self._learn(attempt.address, Reach(True, CARDS in response.json().get("features", ())), REACHABLE_S)
            case 404:
                self._learn(attempt.address, Reach(False), UNREACHABLE_S)
                return Rejected(Reason.UNKNOWN_RECIPIENT, "not reachable by RCS, or the agent is not launched there")
        return None

    def request(self, attempt: Attempt) -> HttpRequest | Rejected:
        reach = self._reach(attempt.address)
        if reach is not None and not reach.is_reachable:
            return Rejected(Reason.UNKNOWN_RECIPIENT, "not reachable by RCS when last asked")
        body = card(attempt) if reach is None or reach.has_cards else None
        return self._send(attempt, body or text(attempt), "")

    def second_try(self, attempt: Attempt, response: HttpResponse) -> HttpRequest | None:
        """What a device cannot show as a card, it can as text."""
        if response.status != 400 or (plain := text(attempt)) == (card(attempt) or plain):
            return None
        return self._send(attempt, plain, "plain")

    def outcome(self, response: HttpResponse) -> Outcome:
        if response.is_success:
            return Accepted((response.json()["name"].rpartition("/")[2],))
        said = response.json()["error"]
        detail = f"{said.get('status')} {said.get('message')}"
        match response.status:
            case 400:
                return Rejected(Reason.INVALID_CONTENT, detail)
            case 401 | 403:
                return Rejected(Reason.MISCONFIGURED, detail)
            case 404:
                return Rejected(Reason.UNKNOWN_RECIPIENT, detail)
            case 409 if (
                said.get("status") == "ALREADY_EXISTS"
            ):  # our id is there: only an earlier try of ours can have brought it
                return AnswerLost(detail)
            case 429:
                return Retry(Reason.THROTTLED, detail=detail)
        return Rejected(Reason.PROVIDER_REFUSED, detail)

    def revocation_request(self, sent: Sent) -> HttpRequest:
        provider_id = sent.provider_ids[0] if sent.provider_ids else message_id(sent.message_id, sent.step)
        url = f"{self._phone_url(sent.address)}/agentMessages/{quote(provider_id, safe='')}"
        return HttpRequest("DELETE", f"{url}?{self._agent_query}")

    def revocation(self, response: HttpResponse) -> Revocation:
        return {200: Revocation.WITHDRAWN, 404: Revocation.TOO_LATE}.get(response.status, Revocation.UNKNOWN)

    def _send(self, attempt: Attempt, content_message: dict[str, Any], form: str) -> HttpRequest:
        id_ = message_id(attempt.message_id, attempt.step, form)
        ttl_s = min(max(attempt.window_s, SHORTEST_TTL_S), LONGEST_TTL_S)
        body = {
            "contentMessage": content_message,
            "messageTrafficType": TRAFFIC.get(attempt.type, self.traffic),
            "ttl": f"{ttl_s}s",
        }
        url = f"{self._phone_url(attempt.address)}/agentMessages"
        return HttpRequest("POST", f"{url}?messageId={id_}&{self._agent_query}", json=body)

    def _phone_url(self, phone: str) -> str:
        shown = phone if PLAIN_PHONE(phone) else quote(phone, safe="+")
        return f"{self.base_url.rstrip('/')}/v1/phones/{shown}"

    @cached_property
    def _agent_query(self) -> str:
        return urlencode({"agentId": self.agent_id})

    def _reach(self, phone: str) -> Reach | None:
        known = self._known.get(phone)
        return None if known is None or time.monotonic() >= known[1] else known[0]

    def _learn(self, phone: str, reach: Reach, kept_s: float) -> None:
        self._known[phone] = (reach, time.monotonic() + kept_s)
        self._known.move_to_end(phone)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)

    # -- the token ----------------------------------------------------------------------------------------------------

    @cached_property
    def _account(self) -> dict[str, Any]:
        try:
            if self.service_account is not None:
                account = json.loads(self.service_account.reveal())
            elif self.service_account_file is not None:
                account = json.loads(Path(self.service_account_file).read_text(encoding="utf-8"))
            else:
                raise ConfigError("service_account_file", "it is missing", "Name the file of the service account's key")
            return {name: account[name] for name in ("client_email", "private_key", "token_uri")}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                "service_account_file",
                f"it holds no key of a service account ({type(error).__name__})",
                "Create one in the Google Cloud console: IAM, Service accounts, Keys, JSON",
            ) from error

    @cached_property
    def _key(self) -> RSAPrivateKey:
        try:
            return jwt.rsa_key(self._account["private_key"])
        except (ValueError, TypeError, AttributeError) as error:
            raise ConfigError(
                "service_account_file", "its private_key is none of RSA", "Download the key again"
            ) from error

    def token_request(self) -> HttpRequest:
        now_s = int(time.time())
        claims = {
            "iss": self._account["client_email"],
            "scope": SCOPE,
            "aud": self._account["token_uri"],
            "iat": now_s,
            "exp": now_s + ASSERTION_S,
        }
        form = {"grant_type": GRANT, "assertion": jwt.rs256(claims, self._key)}
        return HttpRequest("POST", self.token_url or self._account["token_uri"], form=form)

    def token(self, response: HttpResponse) -> Token:
        answer = response.json()
        return Token(Secret(answer["access_token"]), float(answer["expires_in"]))

    # -- what Google tells us -----------------------------------------------------------------------------------------

    def hear(self, callback: Callback) -> Heard:
        """An event of one message, something that a person said, or the challenge by which a webhook is set up.

        Raises `ForgedCallbackError` without our token or its signature, `MalformedCallbackError` on anything
        undocumented.
        """
        try:
            envelope = orjson.loads(callback.body)
            if "clientToken" in envelope:
                return self._challenged(envelope)
            data = base64.b64decode(envelope["message"]["data"], validate=True)
        except (ValueError, TypeError, LookupError, binascii.Error) as error:
            raise MalformedCallbackError(f"no event of RCS: {type(error).__name__}") from error
        digest = hmac.new(self.client_token.reveal().encode(), data, hashlib.sha512).digest()
        given = header(callback.headers, "X-Goog-Signature") or ""
        if not hmac.compare_digest(base64.b64encode(digest), given.encode()):
            raise ForgedCallbackError("X-Goog-Signature does not fit the data")
        try:
            event = orjson.loads(data)
        except ValueError as error:
            raise MalformedCallbackError("no event of RCS: no JSON") from error
        if not isinstance(event, dict):
            raise MalformedCallbackError("no event of RCS: no object")
        try:
            return said(event)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            # Refused, it would come again for a week, and slow down those of all other agents meanwhile.
            log.warning("event_unreadable", channel=Channel.RCS.value, error=type(error).__name__)
            return Heard(ignored=["malformed"])

    def _challenged(self, envelope: dict[str, Any]) -> Heard:
        token = envelope["clientToken"]
        if not (isinstance(token, str) and hmac.compare_digest(token.encode(), self.client_token.reveal().encode())):
            raise ForgedCallbackError("clientToken is not ours")
        return Heard(answer=Answer(body=str(envelope["secret"]).encode(), content_type="text/plain"))


def message_id(message: bytes, step: int, form: str = "") -> str:
    """Google's id of our message at a step: the same for every repeat of it, another for another form of it."""
    return str(uuid5(NAMESPACE, f"{message.hex()}/{step}/{form}"))


def fitted(content: Content, type: MessageType) -> Fitted | None:  # noqa: A002
    if type is MessageType.FLASHCALL or len(content.options) > MAX_CHIPS:
        return None
    shown, changes = content.text, []
    if content.media is not None and _card_media(content) is None and _file(content) is None:
        shown = with_links(content)
        changes.append(Change.MEDIA_AS_LINKS)
    if not 0 < len(shown) <= MAX_TEXT and not (content.media and not content.text):
        return None
    return Fitted(shown, tuple(changes))


def card(attempt: Attempt) -> dict[str, Any] | None:
    """The content as a card or a file; None when it is neither."""
    content = attempt.content
    if (file := _file(content)) is not None:
        return {"contentInfo": {"fileUrl": file}}
    shown = _card_media(content)
    if shown is None:
        return None
    inside: dict[str, Any] = {"media": {"height": "MEDIUM", "contentInfo": shown}}
    if content.text:
        inside["description"] = content.text
    body: dict[str, Any] = {}
    chips = suggestions(attempt)
    if chips and len(chips) <= MAX_CARD_CHIPS:
        inside["suggestions"] = chips
    elif chips:
        body["suggestions"] = chips
    return {"richCard": {"standaloneCard": {"cardOrientation": "VERTICAL", "cardContent": inside}}} | body


def text(attempt: Attempt) -> dict[str, Any]:
    """The content as text, its media as links."""
    body: dict[str, Any] = {"text": with_links(attempt.content)}
    chips = suggestions(attempt)
    return body | ({"suggestions": chips} if chips else {})


def suggestions(attempt: Attempt) -> list[dict[str, Any]]:
    """What is put back to us by a tap is opaque, and checked when it comes: message and place of the option."""
    replies = [
        {"reply": {"text": label(option), "postbackData": payload(attempt.message_id, place)}}
        for place, option in enumerate(attempt.content.options)
    ]
    actions = [
        {"action": {"text": label(button.text), "postbackData": "open", "openUrlAction": {"url": button.url}}}
        for button in attempt.content.buttons
        if _is_openable(button)
    ]
    return (replies + actions)[:MAX_CHIPS]


def with_links(content: Content) -> str:
    media = content.media or Media()
    links = [link for link in (media.video, media.image, media.file) if link]
    links += [button.url for button in content.buttons if not _is_openable(button)]
    return "\n\n".join(part for part in (content.text, "\n".join(links)) if part)


def _is_openable(button: Button) -> bool:
    return len(button.url) <= MAX_URL


def _card_media(content: Content) -> dict[str, str] | None:
    """The picture or video of a card; None when the text is too long for one, or there is more to show than one."""
    media = content.media
    if media is None or len(content.text) > MAX_CARD_TEXT or media.file:
        return None
    shown = media.video or media.image
    if shown is None:
        return None
    info = {"fileUrl": shown}
    thumbnail = media.thumbnail or (media.image if media.video else None)
    return info | ({"thumbnailUrl": thumbnail} if thumbnail else {})


def _file(content: Content) -> str | None:
    """The file of a content that is nothing else, where phones can show it."""
    media = content.media
    if media is None or media.file is None or content.text or content.buttons or media.image or media.video:
        return None
    return media.file if urlsplit(media.file).path.lower().endswith(".pdf") else None


def said(event: dict[str, Any]) -> Heard:
    """Raises `ValueError`, `TypeError`, `LookupError` or `AttributeError` when it is not what is documented."""
    kind = event.get("eventType")
    if kind is not None:
        return _event(kind, event)
    if "senderPhoneNumber" in event:
        return Heard(inbound=[_message(event)])
    log.warning("event_unknown", channel=Channel.RCS.value, event_name="neither an event nor a message")
    return Heard()


def _event(kind: str, event: dict[str, Any]) -> Heard:
    if (state := STATES.get(kind)) is not None:
        phone = _digits(event["senderPhoneNumber"])
        return Heard([Receipt(str(event["messageId"]), state, recipient=phone)])
    if kind == "TTL_EXPIRATION_REVOKED":
        phone = _digits(event["phoneNumber"])
        provider_id = str(event["messageId"])
        return Heard(
            [Receipt(provider_id, ReceiptState.FAILED, Reason.EXPIRED_AT_PROVIDER, "not delivered in time", phone)]
        )
    if (word := SUBSCRIPTIONS.get(kind)) is not None:
        phone = _digits(event["senderPhoneNumber"])
        return Heard(inbound=[Inbound(str(event["eventId"]), InboundKind.TEXT, phone, text=word)])
    if kind not in OTHER_EVENTS:
        log.warning("event_unknown", channel=Channel.RCS.value, event_name=redact(str(kind)))
    return Heard()


def _message(event: dict[str, Any]) -> Inbound:
    phone = _digits(event["senderPhoneNumber"])
    id_ = str(event["messageId"] if "messageId" in event else event["eventId"])  # a tap may have but the latter
    if (response := event.get("suggestionResponse")) is not None:
        payload = response.get("postbackData")
        return Inbound(
            id_,
            InboundKind.TAP,
            phone,
            text=response.get("text"),
            payload=None if payload is None else str(payload).replace("_", ":"),
        )
    if "text" in event:
        return Inbound(id_, InboundKind.TEXT, phone, text=str(event["text"]))
    if (place := event.get("location")) is not None:
        return Inbound(id_, InboundKind.TEXT, phone, text=f"{place.get('latitude')},{place.get('longitude')}")
    file = event["userFile"]["payload"]
    return Inbound(id_, InboundKind.TEXT, phone, text=str(file["fileUri"]))


def _digits(phone: object) -> str:
    if not isinstance(phone, str):
        raise TypeError("a phone is a text")
    return phone.removeprefix("+")
