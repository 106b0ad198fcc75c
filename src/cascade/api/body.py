"""Reads a request's body up to a limit of size and time, so that nobody fills our memory or holds our sockets."""

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from cascade.api.faults import ErrorCode, RequestError

TIME_LIMIT_S = 30.0


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The raw body. Raises `RequestError`: BODY_TOO_LARGE as soon as it is known to be larger than `max_bytes`,
    INVALID_JSON when it is compressed, cut off, or takes longer than `TIME_LIMIT_S`."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise _unreadable(f"Content-Encoding {encoding!r} is not taken: send the body as it is")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    chunks = []
    size = 0
    try:
        async with asyncio.timeout(TIME_LIMIT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                chunks.append(chunk)
    except TimeoutError:
        raise _unreadable(f"The body did not come within {TIME_LIMIT_S:g} s") from None
    except ClientDisconnect:
        raise _unreadable("The body was cut off") from None
    return b"".join(chunks)


def _too_large(max_bytes: int) -> RequestError:
    return RequestError(
        400, ErrorCode.BODY_TOO_LARGE, f"The body is larger than {max_bytes} bytes: send it in smaller batches"
    )


def _unreadable(message: str) -> RequestError:
    return RequestError(400, ErrorCode.INVALID_JSON, message)
