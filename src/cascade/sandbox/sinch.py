"""A twin of Sinch Verification, method `flashcall`, under `/sinch`.

What a phone's behaviour on channel `flashcall` is here:
- `delivers`, `reads`: it rings, and the app on it reports who called (a `VerificationResultEvent`: SUCCESSFUL);
- `silent`: it rings, and nobody reports; `late`: the report comes after `late_s`; `repeats`: its event comes twice;
- `absent`: the number is unreachable (an event: FAIL); `blocked`: denied as blocked (an event: DENIED);
- `rejects`: a bad request (400); `throttled`: 429 to the first try; `down`: 503 to every try;
- `answer_lost`: it rings and is reported, but the connection ends before the answer to the request.

Who calls is asked of the application's callback, which `PUT /sinch/callback {"url"}` sets, as its page does.

Source: https://developers.sinch.com/docs/verification/api-reference
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, web

from cascade.sandbox.callbacks import Callback, Callbacks
from cascade.sandbox.people import AnswerLostError, Behaviour, People, Person, iso_now, missed_call, normal_phone
from cascade.sandbox.twin import PhoneTwin, ProviderDownError, ThrottledError, TwinSettings, counted

CHANNEL = "flashcall"
PATH = "/sinch/verification/v1/verifications"
OWN_CALLER = "+46700000042"
CONTENT_TYPE = "application/json; charset=UTF-8"
ASK_TIMEOUT = ClientTimeout(total=5)
ENDS: Mapping[Behaviour, tuple[str, str]] = {
    Behaviour.ABSENT: ("FAIL", "Network error or number unreachable"),
    Behaviour.BLOCKED: ("DENIED", "Blocked"),
}


class RefusedError(Exception):
    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"errorCode": code, "message": message, "reference": secrets.token_hex(8)}


@dataclass(slots=True, eq=False)
class Verification:
    id: str
    key: str
    phone: str
    reference: str
    custom: str
    cli: str = OWN_CALLER
    status: str = "PENDING"
    reason: str = ""
    source: str = ""
    call_result: str = ""

    def event(self, name: str) -> dict[str, Any]:
        said = {"id": self.id, "event": name, "method": CHANNEL, "identity": {"type": "number", "endpoint": self.phone}}
        return {**said, "reference": self.reference, **({"custom": self.custom} if self.custom else {})}

    def as_json(self) -> dict[str, Any]:
        said: dict[str, Any] = {"id": self.id, "method": CHANNEL, "status": self.status, "reference": self.reference}
        said |= {"reason": self.reason} if self.reason else {}
        return said | ({"callResult": self.call_result} if self.call_result else {})


class Sinch(PhoneTwin):
    """`apps` are application secrets, in base64, by application key."""

    def __init__(
        self,
        people: People,
        callbacks: Callbacks,
        settings: TwinSettings,
        session: ClientSession,
        apps: Mapping[str, str],
    ) -> None:
        super().__init__(people, callbacks, settings)
        self._session = session
        self._apps = apps
        self._callback = ""
        self.verifications: dict[str, Verification] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.put("/sinch/callback", self._set_callback),
            web.post(PATH, counted(self._begin)),
            web.get(f"{PATH}/id/{{id}}", counted(self._status)),
            web.put(f"{PATH}/id/{{id}}", counted(self._report)),
        ]

    async def _set_callback(self, request: web.Request) -> web.Response:
        try:
            body = orjson.loads(await request.read())
        except ValueError:
            body = None
        if not isinstance(body, dict) or not isinstance(body.get("url"), str):
            return said(400, RefusedError(400, 40003, "Invalid url").body)
        self._callback = body["url"]
        return said(200, {"url": self._callback})

    async def _begin(self, request: web.Request) -> web.Response:
        try:
            key, is_signed, body = await self._admit(request)
            one = self._asked(key, body, is_signed=is_signed)
            person = self.people.get(one.phone)
            behaviour = self.behaviour(person, CHANNEL)
            if behaviour is Behaviour.REJECTS:
                raise RefusedError(400, 40003, "Invalid number: it cannot be called")
        except RefusedError as refusal:
            return said(refusal.status, refusal.body)
        except ThrottledError:
            return said(429, RefusedError(429, 42900, "Capacity exceeded").body)
        except ProviderDownError:
            return said(503, RefusedError(503, 50300, "Service unavailable").body)
        if self._callback:
            await self._ask_who_calls(one)
        self.verifications[one.id] = one
        if one.status == "PENDING":
            self._call(person, one, behaviour)
        if behaviour is Behaviour.ANSWER_LOST:
            raise AnswerLostError
        digits = one.cli.removeprefix("+")
        call = {"cliFilter": f"(.*)({digits})(.*)", "interceptionTimeout": 45, "denyCallAfter": 0}
        return said(200, {"id": one.id, "method": CHANNEL, "flashCall": call, "_links": []})

    def _call(self, person: Person, one: Verification, behaviour: Behaviour) -> None:
        if behaviour in ENDS:
            one.status, one.reason = ENDS[behaviour]
            one.call_result = "FAILED"
            self.report(Behaviour.DELIVERS, self._event(one, one.event("VerificationResultEvent") | self._end(one)))
            return
        self.reach(person, missed_call(one.cli, one.id))
        if behaviour is not Behaviour.SILENT:
            ended = {"status": "SUCCESSFUL", "source": "intercepted"}
            self.report(behaviour, self._event(one, one.event("VerificationResultEvent") | ended))

    def _end(self, one: Verification) -> dict[str, str]:
        return {"status": one.status, **({"reason": one.reason} if one.reason else {})}

    async def _status(self, request: web.Request) -> web.Response:
        try:
            await self._admit(request)
            return said(200, self._found(request).as_json())
        except RefusedError as refusal:
            return said(refusal.status, refusal.body)

    async def _report(self, request: web.Request) -> web.Response:
        """Whoever typed the number says what it was."""
        try:
            _, _, body = await self._admit(request)
            one = self._found(request)
            if one.status == "PENDING":
                call = body.get("flashCall")
                is_right = isinstance(call, dict) and call.get("cli") == one.cli
                one.status, one.reason = ("SUCCESSFUL", "") if is_right else ("FAIL", "Invalid CLI")
                one.source = "manual"
                ended = one.event("VerificationResultEvent") | self._end(one) | {"source": one.source}
                self.callbacks.post(self._event(one, ended))
            return said(200, one.as_json())
        except RefusedError as refusal:
            return said(refusal.status, refusal.body)

    def _found(self, request: web.Request) -> Verification:
        one = self.verifications.get(request.match_info["id"])
        if one is None:
            raise RefusedError(404, 40400, "Verification not found")
        return one

    def _asked(self, key: str, body: dict[str, Any], *, is_signed: bool) -> Verification:
        identity = body.get("identity")
        endpoint = str(identity.get("endpoint", "")) if isinstance(identity, dict) else ""
        phone = normal_phone(endpoint)
        if phone is None or not endpoint.startswith("+"):
            raise RefusedError(400, 40003, "Invalid identity.endpoint")
        if str(body.get("method")).lower() != CHANNEL:  # the SDK for Python writes flashCall
            raise RefusedError(400, 40003, "Invalid method")
        if "flashCallOptions" in body and not is_signed:
            raise RefusedError(403, 40301, "Invalid authorization scheme for flashCallOptions")
        name = secrets.token_hex(12)
        return Verification(name, key, phone, str(body.get("reference", "")), str(body.get("custom", "")))

    async def _ask_who_calls(self, one: Verification) -> None:
        asked = self._event(one, one.event("VerificationRequestEvent"))
        try:
            async with self._session.post(
                asked.url, data=asked.body, headers=asked.headers, timeout=ASK_TIMEOUT
            ) as answer:
                wanted = orjson.loads(await answer.read()) if answer.status == 200 else {}
        except (ClientError, TimeoutError, ValueError):
            wanted = {}
        if not isinstance(wanted, dict):
            wanted = {}
        if wanted.get("action") != "allow":
            one.status = "DENIED"
            one.reason = "Denied by callback" if wanted else "Invalid callback"
            self.callbacks.post(self._event(one, one.event("VerificationResultEvent") | self._end(one)))
        call = wanted.get("flashCall")
        one.cli = str((call.get("cli") if isinstance(call, dict) else None) or OWN_CALLER)

    async def _admit(self, request: web.Request) -> tuple[str, bool, dict[str, Any]]:
        """Whose request it is, whether it is signed, and its body."""
        raw = await request.read()
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            try:
                key, _, secret = base64.b64decode(given).decode().partition(":")
            except ValueError:
                raise RefusedError(401, 40108, "Invalid credentials") from None
            is_known = hmac.compare_digest(self._apps.get(key, "").encode(), secret.encode()) and key in self._apps
        else:
            key, _, signature = given.partition(":")
            stamp = request.headers.get("x-timestamp", "")
            is_known = scheme == "Application" and key in self._apps
            content_type = request.headers.get("Content-Type", "")
            expected = self._signature(self._apps.get(key, ""), request.method, raw, content_type, stamp, request.path)
            is_known = is_known and bool(stamp) and hmac.compare_digest(expected.encode(), signature.encode())
        if not is_known:
            raise RefusedError(401, 40108, "Invalid credentials")
        try:
            body = orjson.loads(raw) if raw else {}
        except ValueError:
            raise RefusedError(400, 40001, "Invalid JSON") from None
        return key, scheme == "Application", body if isinstance(body, dict) else {}

    def _event(self, one: Verification, content: dict[str, Any]) -> Callback:
        body, stamp = orjson.dumps(content), f"{iso_now()[:19]}Z"
        path = urlsplit(self._callback).path
        signature = self._signature(self._apps[one.key], "POST", body, CONTENT_TYPE, stamp, path)
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Authorization": f"application {one.key}:{signature}",
            "x-timestamp": stamp,
        }
        return Callback(self._callback, body, headers)

    @staticmethod
    def _signature(secret: str, method: str, body: bytes, content_type: str, stamp: str, path: str) -> str:
        content_md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode() if body else ""
        text = f"{method}\n{content_md5}\n{content_type}\nx-timestamp:{stamp}\n{path}"
        return base64.b64encode(hmac.digest(base64.b64decode(secret), text.encode(), "sha256")).decode()


def said(status: int, body: Any) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), headers={"Content-Type": "application/json"})
