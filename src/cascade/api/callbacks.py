"""What providers tell us by HTTP. Verified over the raw body, stored, and only then acknowledged."""

from fastapi import APIRouter, Request, Response

from cascade.api import metrics
from cascade.api.body import read_body
from cascade.api.faults import ErrorCode, RequestError
from cascade.api.parts import Parts
from cascade.core.errors import ForgedCallbackError, MalformedCallbackError

router = APIRouter(prefix="/callbacks", include_in_schema=False)

MAX_BYTES = 1 << 20


@router.post("/{link}")
async def take_callback(link: str, request: Request) -> Response:
    """A link's provider calls here. 200 means that what it said is on the disk."""
    parts: Parts = request.app.state.parts
    body = await read_body(request, MAX_BYTES)
    try:
        receipts = parts.read_receipts(link, dict(request.headers), body)
    except LookupError:
        raise RequestError(404, ErrorCode.NOT_FOUND, "No link takes callbacks here") from None
    except ForgedCallbackError:
        metrics.CALLBACKS_REFUSED.labels(link, "forged").inc()
        raise RequestError(403, ErrorCode.FORBIDDEN, "The signature does not match the body") from None
    except MalformedCallbackError:
        metrics.CALLBACKS_REFUSED.labels(link, "malformed").inc()
        raise RequestError(400, ErrorCode.INVALID_JSON, "Not a callback of this provider") from None
    if receipts:
        await parts.take_receipts(link, receipts)
    return Response(status_code=200)
