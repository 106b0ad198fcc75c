"""`/health/live`, `/health/ready` and `/metrics`."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from cascade.api.faults import ErrorCode, RequestError
from cascade.api.parts import Parts
from cascade.store import accounts

router = APIRouter(tags=["Operations"])


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", summary="The process answers")
async def live() -> dict[str, str]:
    return {"status": "live"}


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready", summary="The store answers and the engine runs")
async def ready(request: Request) -> dict[str, str]:
    parts: Parts = request.app.state.parts
    async with parts.database.reading() as reader:
        await accounts.version(reader)
    if not parts.is_ready():
        raise RequestError(503, ErrorCode.UNAVAILABLE, "The engine is starting or stopping")
    return {"status": "ready"}


@router.get("/metrics", include_in_schema=False)
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
