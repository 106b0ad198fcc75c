"""The four clients, each asked the same way: one table of promises holds for all of them."""

import asyncio
import atexit
import inspect
import json
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cascade.client import AsyncCascadeMessenger, CascadeError, CascadeMessenger, Retries, verify
from programs import program

HERE = Path(__file__).parent
KEY = "acme-key"
QUICK = Retries(most=2, first_s=0.01)


class Refusal(NamedTuple):
    """What was raised or thrown, with what all clients say of it. `kind` without Error or Exception."""

    kind: str
    message: str
    status: int | None
    code: str | None
    field: str | None
    place: int | None
    details: list[dict[str, Any]] | None
    retry_after_s: float | None
    request_id: str | None
    sent: list[dict[str, Any]]
    is_unsent: bool | None


Ask = Callable[..., Any]
"""url, call, **given -> what was answered, or the `Refusal`."""


def plain(url: str, call: str, *, key: str | None = KEY, **given: Any) -> Any:
    try:
        if call == "verify":
            return _verify(given)
        with CascadeMessenger(key, url, retries=QUICK) as messenger:
            answer = _begin(messenger, call, given)
            return list(answer) if inspect.isgenerator(answer) else answer
    except (CascadeError, TypeError, ValueError) as error:
        return _refusal(error)


def awaited(url: str, call: str, *, key: str | None = KEY, **given: Any) -> Any:
    async def work() -> Any:
        async with AsyncCascadeMessenger(key, url, retries=QUICK) as messenger:
            answer = _begin(messenger, call, given)
            return [one async for one in answer] if inspect.isasyncgen(answer) else await answer

    try:
        return _verify(given) if call == "verify" else asyncio.run(work())
    except (CascadeError, TypeError, ValueError) as error:
        return _refusal(error)


def _verify(given: dict[str, Any]) -> Any:
    return verify(given["secret"], given["headers"], given["body"].encode(), now_s=lambda: given["now_s"])


def _begin(messenger: Any, call: str, given: dict[str, Any]) -> Any:
    match call:
        case "send_message" | "send_telegram_viber":
            renamed = {"id": "tracking_id", "fromName": "from_name", "toPhone": "to_phone"}
            renamed |= {"messageType": "message_type", "scheduledSent": "scheduled"}
            fields = {renamed.get(name, name): value for name, value in given["message"].items()}
            return getattr(messenger, call)(**fields)
        case "send_bulk":
            return messenger.send_bulk(given["messages"], idempotency_key=given.get("under"))
        case "status" | "cancel":
            return getattr(messenger, call)(given["id"])
        case "check_flashcall":
            return messenger.check_flashcall(given["id"], given["digits"])
        case "reschedule":
            return messenger.reschedule(given["id"], given["at"])
        case "add_webhook":
            return messenger.add_webhook(given["to"])
        case "unknown_filter":
            return messenger.messages(from_="x")
    return getattr(messenger, call)(**given)


def _refusal(error: Exception) -> Refusal:
    kind = type(error).__name__.removesuffix("Error")
    return _told(kind, {name: getattr(error, name, None) for name in FIELDS} | {"message": str(error)})


def javascript(url: str, call: str, *, key: str | None = KEY, **given: Any) -> Any:
    return _driven(_driver(program("node"), str(HERE / "driver.mjs")), url, call, key, given)


def php(url: str, call: str, *, key: str | None = KEY, **given: Any) -> Any:
    return _driven(_driver(program("php"), str(HERE / "driver.php")), url, call, key, given)


@cache
def _driver(*command: str) -> "subprocess.Popen[str]":
    """One for all tests of this process: to start one takes longer than most of them."""
    driver = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    atexit.register(_end, driver)
    return driver


def _end(driver: "subprocess.Popen[str]") -> None:
    with driver:
        driver.kill()


def _driven(driver: "subprocess.Popen[str]", url: str, call: str, key: str | None, given: dict[str, Any]) -> Any:
    assert driver.stdin is not None
    assert driver.stdout is not None
    json.dump({"url": url, "key": None if call == "verify" else key, "call": call, "given": given}, driver.stdin)
    driver.stdin.write("\n")
    driver.stdin.flush()
    said = json.loads(driver.stdout.readline())
    if "error" not in said:
        return said["answer"]
    error = said["error"]
    return _told(error["kind"].removesuffix("Error").removesuffix("Exception"), error)


FIELDS = ("message", "status", "code", "field", "index", "details", "retry_after_s", "request_id", "sent", "is_unsent")


def _told(kind: str, error: dict[str, Any]) -> Refusal:
    values: list[Any] = [error.get(name) for name in FIELDS]
    return Refusal(kind, *values)._replace(sent=list(error.get("sent") or ()))


SPEAKERS: dict[str, Ask] = {"Python": plain, "Python asyncio": awaited, "JavaScript": javascript, "PHP": php}
