"""`/v1/flashcalls`: the digits that a person typed after a flash call, checked for whoever does not do it itself."""

import uuid
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from cascade.api.access import SendCaller
from cascade.api.answers import json_answer
from cascade.api.callers import CALL_STEP
from cascade.api.faults import ErrorCode, Fault, InvalidRequest, RequestError
from cascade.api.openapi import body_of, refusals
from cascade.api.parts import Parts
from cascade.api.status import key_of, not_found
from cascade.api.validation import read_model
from cascade.core.events import Told, flashcall_completed
from cascade.core.flashcalls import Verdict, is_match, typed_digits
from cascade.core.machine import ReceiptCame
from cascade.core.receipt import ReceiptState
from cascade.store import decisions, events, flashcalls, messages
from cascade.store.database import Reader, Transaction
from cascade.store.decisions import News
from cascade.store.flashcalls import Flashcall
from cascade.store.messages import Key, Record

router = APIRouter(prefix="/v1/flashcalls", tags=["Flash calls"])


class Check(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    digits: Annotated[str, Field(min_length=1, max_length=32, description="The last digits, or the whole number")]


class Checked(TypedDict):
    messageId: str
    trackinId: str
    result: Verdict
    matched: Annotated[bool, Field(description="True once, for the right digits")]
    checksLeft: int


class Call(NamedTuple):
    """A flash call with its message. `attempt` is its latest, 0: none was begun."""

    stored: Flashcall
    record: Record

    @property
    def attempt(self) -> int:
        message = self.record.message
        begun = [entry.attempt for entry in self.record.entries if entry.step == CALL_STEP]
        return max([message.attempt if message.step == CALL_STEP else 0, *begun])

    @property
    def provider_id(self) -> str:
        """Of the latest call that the provider took; empty where it took none."""
        ids = [entry.provider_id for entry in self.record.entries if entry.step == CALL_STEP and entry.provider_id]
        return ids[-1] if ids else ""

    @property
    def links(self) -> list[str]:
        """Those that may have made the call."""
        step = self.record.message.route[CALL_STEP]
        return [link for link in (step.link, *step.others) if link is not None]


@router.post(
    "/{message_id}/check",
    summary="Check the digits that a person typed",
    response_model=Checked,
    responses=refusals(400, 404),
    openapi_extra=body_of(Check, {"digits": "456789"}),
)
async def check(message_id: str, request: Request, caller: SendCaller) -> Response:
    """Right digits count once, and only until the call's time to live is over. After too many wrong ones nothing more
    is compared."""
    parts: Parts = request.app.state.parts
    wanted = await read_model(request, Check)
    typed = typed_digits(wanted.digits)
    if typed is None:
        raise _wrong_field("send digits: the last ones of the number that called, or all of it")
    key = key_of(caller.account_id, message_id)
    if key is None:
        raise not_found()
    most = parts.flashcalls.most_checks
    async with parts.database.transaction() as tx:
        now_ms = parts.now_ms()
        call = await _find(tx, key)
        verdict = _closed(call, most, now_ms)
        if verdict is None:
            if len(typed) < call.stored.digits:
                raise _wrong_field(f"send at least {call.stored.digits} digits")
            if call.stored.caller is not None:
                is_right = is_match(typed, call.stored.caller, call.stored.digits)
                verdict = await _count(tx, call, is_right, most, now_ms)
            elif not await flashcalls.miss(tx, key, most):  # before the provider is asked: of many at once, no more
                verdict = Verdict.EXHAUSTED
        call = await _find(tx, key)
    if verdict is None:
        verdict = await _ask(parts, call, typed)
        async with parts.database.reading() as reader:
            call = await _find(reader, key)
    return json_answer(_shown(call, verdict, most))


async def _ask(parts: Parts, call: Call, typed: str) -> Verdict:
    """The provider compares; `call` is already counted as a wrong try."""
    key, most = call.stored.key, parts.flashcalls.most_checks
    is_right = None
    for link in call.links:
        is_right = await parts.check_digits(link, call.provider_id, typed)
        if is_right is not None:
            break
    async with parts.database.transaction() as tx:
        now_ms = parts.now_ms()
        if is_right is not False:
            await flashcalls.forgive(tx, key)
        if is_right:
            return await _count(tx, call, is_right, most, now_ms)
        if is_right is not None and call.stored.wrong >= most:
            await _tell(tx, key, Verdict.EXHAUSTED, now_ms)
    if is_right is None:
        raise RequestError(503, ErrorCode.UNAVAILABLE, "The provider that knows the number does not answer: try again")
    return Verdict.WRONG


async def _find(reader: Reader, key: Key) -> Call:
    stored = (await flashcalls.find(reader, key.account_id, [key.id])).get(key.id)
    record = None if stored is None else await messages.record(reader, key)
    if stored is None or record is None:
        raise not_found()
    return Call(stored, record)


def _closed(call: Call, most: int, now_ms: int) -> Verdict | None:
    """Why nothing is compared any more, or not yet; None: it is."""
    if call.stored.matched_at_ms is not None:
        return Verdict.USED
    if call.stored.wrong >= most:
        return Verdict.EXHAUSTED
    if now_ms >= call.record.message.expires_at_ms:
        return Verdict.EXPIRED
    return None if call.attempt else Verdict.NOT_CALLED


async def _count(tx: Transaction, call: Call, is_right: bool, most: int, now_ms: int) -> Verdict:
    """Write down what a comparison came to."""
    key = call.stored.key
    if is_right:
        if not await flashcalls.match(tx, key, most, now_ms):  # another request was quicker
            return _closed(await _find(tx, key), most, now_ms) or Verdict.USED
        # Who knows the digits has seen the call: it was read, whatever the provider says.
        seen = ReceiptCame(now_ms, call.attempt, CALL_STEP, 0, ReceiptState.READ)
        await decisions.apply(tx, [News(key, seen)], {})
        await _tell(tx, key, Verdict.MATCHED, now_ms)
        return Verdict.MATCHED
    if not await flashcalls.miss(tx, key, most):
        return Verdict.EXHAUSTED
    if call.stored.wrong + 1 >= most:
        await _tell(tx, key, Verdict.EXHAUSTED, now_ms)
    return Verdict.WRONG


async def _tell(tx: Transaction, key: Key, result: Verdict, now_ms: int) -> None:
    call = await _find(tx, key)
    checks = call.stored.wrong + (result is Verdict.MATCHED)
    about = Told(key.account_id, key.id, call.record.tracking_id)
    await events.add(tx, [flashcall_completed(about, call.record.message, now_ms, result, checks)])


def _shown(call: Call, verdict: Verdict, most: int) -> dict[str, Any]:
    return {
        "messageId": str(uuid.UUID(bytes=call.record.key.id)),
        "trackinId": call.record.tracking_id,
        "result": verdict.value,
        "matched": verdict is Verdict.MATCHED,
        "checksLeft": 0 if call.stored.matched_at_ms is not None else max(most - call.stored.wrong, 0),
    }


def _wrong_field(words: str) -> InvalidRequest:
    return InvalidRequest([Fault(ErrorCode.INVALID_FIELD, f"digits: {words}", "digits")])
