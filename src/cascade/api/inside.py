"""The send door for whoever is inside already: a message of the console goes the way of every client's."""

from fastapi import FastAPI, Request, Response
from starlette.types import Message

from cascade.api import send
from cascade.api.access import Caller
from cascade.api.faults import InvalidRequest, error_body
from cascade.core.directory import Account


async def send_for(app: FastAPI, account: Account, body: bytes, *, is_preview: bool) -> Response:
    """What the door answers to that body from that account. No key is asked for, and no rate limits it."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http",
        "app": app,
        "method": "POST",
        "scheme": "http",
        "path": f"{send.PATH}/async",
        "query_string": b"",
        "headers": [(b"host", b"console"), (b"content-type", b"application/json")],
    }
    try:
        caller = Caller(account, (), is_limited=False)
        return await send.send_standard(Request(scope, receive), caller, partial=False, validate=is_preview)
    except InvalidRequest as refusal:
        return Response(error_body(refusal.faults), 400, media_type="application/json")
