"""`GET /s/{code}`: follows a short link and counts the click. Nobody is asked who they are.

The target was fixed when the message was accepted, so that nothing in the request can lead anybody elsewhere.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response

from cascade.api.parts import Parts
from cascade.core.short_links import Click, is_code, is_machine
from cascade.store import short_links

router = APIRouter(tags=["Short links"])

GONE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Link not found</title>
<p>This link does not exist, or its time is over.</p>
</html>
"""
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
}
LOCATION: Final = {"Location": {"description": "The target", "schema": {"type": "string", "format": "uri"}}}


@router.head("/s/{code}", include_in_schema=False)
@router.get(
    "/s/{code}",
    summary="Follow a short link",
    response_class=Response,
    status_code=302,
    responses={
        302: {"description": "To the link's target", "headers": LOCATION},
        404: {"description": "No such link, or no longer", "content": {"text/html": {"example": GONE}}},
    },
)
async def follow(code: Annotated[str, Path(examples=["mPq7XkZ2"])], request: Request) -> Response:
    """Clicks of people and of machines (previews, crawlers) are counted apart; HEAD is not counted."""
    parts: Parts = request.app.state.parts
    target = None
    if is_code(code):
        async with parts.database.reading() as reader:
            target = await short_links.target(reader, code, parts.now_ms())
    if target is None:
        return Response(GONE, 404, HEADERS, media_type="text/html")
    if request.method == "GET":
        parts.count_click(Click(*target.key, code, target.url, parts.now_ms(), is_machine(request.headers)))
    return Response(status_code=302, headers=HEADERS | {"Location": target.url})
