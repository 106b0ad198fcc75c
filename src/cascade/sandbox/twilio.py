"""A twin of Twilio's Messages resource: form in, 201 out, and its signed callbacks.

It lies under `/twilio`. A person's answer goes to the callback of the message that it answers: a number's own webhook,
which Twilio's console holds, is the same address.

Source: https://www.twilio.com/docs/messaging/api/message-resource
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson
from aiohttp import web

from cascade.sandbox.callbacks import Callback, Callbacks
from cascade.sandbox.people import AnswerLostError, Behaviour, People, Person, Received, iso_now, normal_phone
from cascade.sandbox.twin import (
    MalformedError,
    PhoneTwin,
    ProviderDownError,
    ThrottledError,
    TwinSettings,
    counted,
    form_of,
    is_web_url,
    options_in,
)

PATH = "/twilio"
TEXT_LIMIT = 1600
SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|[A-Za-z0-9 +_&-]{1,11}")
VERSION = "2010-04-01"


class RefusedError(Exception):
    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "code": code,
            "message": message,
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": status,
        }


class Twilio(PhoneTwin):
    """`accounts` are auth tokens by account SID."""

    channel: ClassVar[str] = "sms"

    def __init__(
        self, people: People, callbacks: Callbacks, settings: TwinSettings, accounts: Mapping[str, str]
    ) -> None:
        super().__init__(people, callbacks, settings)
        self._accounts = accounts

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(f"{PATH}/{VERSION}/Accounts/{{sid}}/Messages.json", counted(self._send)),
            web.get(f"{PATH}/{VERSION}/Accounts/{{sid}}.json", counted(self._show)),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        """The account itself."""
        try:
            sid = self._admit(request)
        except RefusedError as refusal:
            return answer(refusal.status, refusal.body)
        return answer(200, {"sid": sid, "friendly_name": "Sandbox", "status": "active", "type": "Full"})

    async def _send(self, request: web.Request) -> web.Response:
        try:
            account = self._admit(request)
            form = {name: str(value) for name, value in (await form_of(request)).items()}
            person = self._person(form)
            check(form)
            behaviour = self.behaviour(person, self.channel)
            match behaviour:
                case Behaviour.ABSENT:
                    raise RefusedError(400, 21614, "'To' number is not a valid mobile number")
                case Behaviour.BLOCKED:
                    raise RefusedError(400, 21610, "Attempt to send to unsubscribed recipient")
                case Behaviour.REJECTS:
                    raise RefusedError(400, 21617, "The concatenated message body exceeds the 1600 character limit")
        except RefusedError as refusal:
            return answer(refusal.status, refusal.body)
        except MalformedError:
            return answer(400, RefusedError(400, 20001, "Unknown parameters").body)
        except ThrottledError:
            return answer(429, RefusedError(429, 20429, "Too Many Requests").body)
        except ProviderDownError:
            return answer(503, RefusedError(503, 20503, "Service unavailable").body)
        sid = f"SM{secrets.token_hex(16)}"
        sender = form.get("From") or form["MessagingServiceSid"]
        options = options_in(form["Body"])
        callback = form.get("StatusCallback", "")
        self.reach(
            person,
            Received(
                self.channel,
                sender,
                form["Body"],
                iso_now(),
                options=list(options),
                provider_id=sid,
                replies=options,
                account=f"{account} {callback}",
            ),
        )
        if callback:
            status = {"To": person.phone, "From": sender, "MessageSid": sid, "SmsSid": sid, "AccountSid": account}
            self.callbacks.post(self._call(account, callback, status | {"MessageStatus": "sent"}))
            self.report(behaviour, self._call(account, callback, status | {"MessageStatus": "delivered"}))
        if behaviour is Behaviour.ANSWER_LOST:
            raise AnswerLostError
        return answer(
            201,
            {
                "sid": sid,
                "account_sid": account,
                "to": person.phone,
                "from": sender,
                "body": form["Body"],
                "status": "queued",
                "num_segments": "1",
                "error_code": None,
                "error_message": None,
            },
        )

    def answer(self, person: Person, received: Received, option: str) -> None:
        """Write the number of an option."""
        account, _, callback = received.account.partition(" ")
        form = {
            "SmsStatus": "received",
            "MessageSid": f"SM{secrets.token_hex(16)}",
            "From": person.phone,
            "To": received.sender,
            "Body": received.replies[option],
            "AccountSid": account,
        }
        self.callbacks.post(self._call(account, callback, form))

    def _admit(self, request: web.Request) -> str:
        sid = request.match_info["sid"]
        kind, _, credentials = request.headers.get("Authorization", "").partition(" ")
        try:
            user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except ValueError:
            user = password = ""
        token = self._accounts.get(sid)
        if (
            kind != "Basic"
            or user != sid
            or token is None
            or not hmac.compare_digest(token.encode(), password.encode())
        ):
            raise RefusedError(401, 20003, "Authenticate")
        return sid

    def _person(self, form: Mapping[str, str]) -> Person:
        to = form.get("To", "")
        phone = normal_phone(to)
        if not to.startswith("+") or phone is None:
            raise RefusedError(400, 21211, "The 'To' number is not a valid phone number")
        return self.people.get(phone)

    def _call(self, account: str, url: str, form: Mapping[str, str]) -> Callback:
        whole = {**form, "ApiVersion": VERSION}
        said = url + "".join(name + whole[name] for name in sorted(whole))
        digest = hmac.new(self._accounts[account].encode(), said.encode(), hashlib.sha1).digest()
        return Callback(
            url,
            urlencode(whole).encode(),
            {
                "Content-Type": "application/x-www-form-urlencoded",
                "X-Twilio-Signature": base64.b64encode(digest).decode(),
            },
        )


def check(form: Mapping[str, str]) -> None:
    """Refuse what Twilio refuses."""
    if "MessagingServiceSid" not in form and not SENDER.fullmatch(form.get("From", "")):
        raise RefusedError(400, 21212, "The 'From' number is not a valid phone number or sender")
    body = form.get("Body", "")
    if not body:
        raise RefusedError(400, 21602, "Message body is required")
    if len(body) > TEXT_LIMIT:
        raise RefusedError(400, 21617, "The concatenated message body exceeds the 1600 character limit")
    validity = form.get("ValidityPeriod", "36000")
    if not validity.isdecimal() or not 1 <= int(validity) <= 36_000:
        raise RefusedError(400, 30409, "ValidityPeriod must be between 1 and 36000")
    if "StatusCallback" in form and not is_web_url(form["StatusCallback"]):
        raise RefusedError(400, 21609, "The 'StatusCallback' URL is not a valid URL")


def answer(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), headers={"Content-Type": "application/json"})
