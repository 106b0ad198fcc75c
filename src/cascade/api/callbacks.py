"""What providers tell us by HTTP. Verified over the raw body, stored, and only then acknowledged."""

from fastapi import APIRouter, Request, Response

from cascade.api import metrics
from cascade.api.body import read_body
from cascade.api.faults import ErrorCode, RequestError
from cascade.api.parts import Parts
from cascade.channels.base import Callback
from cascade.core.errors import ForgedCallbackError, MalformedCallbackError

router = APIRouter(prefix="/callbacks", include_in_schema=False)

MAX_BYTES = 1 << 20


@router.api_route("/{link}", methods=["GET", "POST"])
@router.api_route("/{link}/{tail:path}", methods=["GET", "POST"])
async def take_callback(request: Request, link: str, tail: str = "") -> Response:
    """A link's provider calls here. Its adapter's answer means that what it said is on the disk."""
    parts: Parts = request.app.state.parts
    body = await read_body(request, MAX_BYTES)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    callback = Callback(
        method=request.method,
        url=parts.link_rules.base_url + path,
        headers=dict(request.headers),
        body=body,
        query=dict(request.query_params),
        tail=tail,
    )
    try:
        heard = parts.hear(link, callback)
    except LookupError:
        raise RequestError(404, ErrorCode.NOT_FOUND, "No link takes callbacks here") from None
    except ForgedCallbackError:
        metrics.CALLBACKS_REFUSED.labels(link, "forged").inc()
        raise RequestError(403, ErrorCode.FORBIDDEN, "The signature does not match the body") from None
    except MalformedCallbackError:
        metrics.CALLBACKS_REFUSED.labels(link, "malformed").inc()
        raise RequestError(400, ErrorCode.INVALID_JSON, "Not a callback of this provider") from None
    if heard:
        await parts.take_heard(link, heard)
    return Response(heard.answer.body, heard.answer.status, media_type=heard.answer.content_type)
