"""`/v1/flashcalls`: the digits that a person typed after a flash call, checked for whoever does not do it itself."""

import uuid
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from cascade.api.access import SendCaller
from cascade.api.answers import json_answer
from cascade.api.callers import CALL_STEP
from cascade.api.faults import ErrorCode, Fault, InvalidRequest
from cascade.api.openapi import body_of, refusals
from cascade.api.parts import Parts
from cascade.api.status import key_of, not_found
from cascade.api.validation import read_model
from cascade.core.events import Told, flashcall_completed
from cascade.core.flashcalls import Verdict, is_match, typed_digits
from cascade.core.machine import ReceiptCame
from cascade.core.receipt import ReceiptState
from cascade.store import decisions, events, flashcalls, messages
from cascade.store.database import Transaction
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
    now_ms = parts.now_ms()
    async with parts.database.transaction() as tx:
        call = await _find(tx, key)
        verdict = _closed(call, parts.flashcalls.most_checks, now_ms)
        if verdict is None:
            if len(typed) < call.stored.digits:
                raise _wrong_field(f"send at least {call.stored.digits} digits")
            verdict = await _judge(tx, call, typed, parts.flashcalls.most_checks, now_ms)
        call = await _find(tx, key)
    return json_answer(_shown(call, verdict, parts.flashcalls.most_checks))


async def _find(tx: Transaction, key: Key) -> Call:
    stored = (await flashcalls.find(tx, key.account_id, [key.id])).get(key.id)
    record = None if stored is None else await messages.record(tx, key)
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


async def _judge(tx: Transaction, call: Call, typed: str, most: int, now_ms: int) -> Verdict:
    """Compare, and write down what came of it."""
    key, caller, digits, *_ = call.stored
    if caller is not None and is_match(typed, caller, digits):
        if not await flashcalls.match(tx, key, most, now_ms):
            return Verdict.USED  # another request was quicker
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
