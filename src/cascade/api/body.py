"""Reads a request's body up to a limit, so that nobody fills our memory."""

from fastapi import Request

from cascade.api.faults import ErrorCode, RequestError


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The raw body; `RequestError` BODY_TOO_LARGE as soon as it is known to be larger than `max_bytes`."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    chunks = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(max_bytes: int) -> RequestError:
    return RequestError(
        400, ErrorCode.BODY_TOO_LARGE, f"The body is larger than {max_bytes} bytes: send it in smaller batches"
    )
