"""The HTTP application: the doors, and one place where our errors become the contract's."""

import uuid
from functools import partial
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

import cascade
from cascade.api import callbacks, health, items, metrics, send, short_links, status, subscribers
from cascade.api.faults import ErrorCode, Fault, InvalidRequest, RequestError, error_body, error_object
from cascade.api.openapi import CREDENTIALS, OPEN_PATHS
from cascade.api.parts import Parts
from cascade.api.rates import RateHeaders
from cascade.api.straight import Straight
from cascade.api.together import Together
from cascade.api.v1 import channels as v1_channels
from cascade.api.v1 import flashcalls as v1_flashcalls
from cascade.api.v1 import messages as v1_messages
from cascade.api.v1 import opt_outs as v1_opt_outs
from cascade.api.v1 import people as v1_people
from cascade.api.v1 import statistics as v1_statistics
from cascade.api.v1 import subscribers as v1_subscribers
from cascade.api.v1 import surveys as v1_surveys
from cascade.api.v1 import tags as v1_tags
from cascade.api.v1 import webhooks as v1_webhooks
from cascade.api.validation import faults_of
from cascade.core.errors import QueryTimeoutError, StoreUnavailableError

log = structlog.get_logger()


def create_app(parts: Parts, *, has_doors: bool = True) -> FastAPI:
    """Without doors it answers how the process does, and nothing else."""
    app = FastAPIOffline(  # its /docs brings the page's scripts along: FastAPI's own fetches them from the internet
        redoc_url=None,
        title="Cascade",
        version=cascade.__version__,
        description="One request, and the message reaches the person through the first channel that works.",
        license_info={"name": "Apache-2.0"},
    )
    app.state.parts = parts
    app.state.singles = Together(send.accept_together, send.SHARED, at_once=4 if parts.database.is_shared else 1)
    app.add_middleware(RateHeaders)
    app.include_router(health.router)
    if has_doors:
        for door in (send, items, status, subscribers, short_links, callbacks):
            app.include_router(door.router)
        for door in (v1_messages, v1_tags, v1_statistics, v1_subscribers, v1_people, v1_channels, v1_flashcalls):
            app.include_router(door.router)
        for door in (v1_webhooks, v1_surveys, v1_opt_outs):
            app.include_router(door.router)
    app.add_exception_handler(InvalidRequest, _invalid)
    app.add_exception_handler(RequestValidationError, _unread)
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(StoreUnavailableError, _unavailable)
    app.add_exception_handler(QueryTimeoutError, _too_slow)
    app.add_exception_handler(Exception, _broken)
    app.openapi = partial(_document, app)  # type: ignore[method-assign] # the way that FastAPI's manual shows
    return app


def entrance(app: FastAPI, *, has_doors: bool = True) -> ASGIApp:
    """The same app as a server shall have it: the send doors come first."""
    return Straight(app, send.DOORS) if has_doors else app


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document. FastAPI says 422 of every door that takes something; ours answer 400, and say so. Who may
    come in is said here, for the doors look at their headers themselves."""
    document = FastAPI.openapi(app)
    for path, methods in document["paths"].items():
        for door in methods.values():
            door["responses"].pop("422", None)
            if path.startswith(OPEN_PATHS):
                door["security"] = []
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    document["components"]["securitySchemes"] = CREDENTIALS
    document["security"] = [{name: []} for name in CREDENTIALS]
    return document


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidRequest)  # noqa: S101 - registered for nothing else
    metrics.REFUSED.labels(error.faults[0].code.value).inc()
    return Response(error_body(error.faults), 400, media_type="application/json")


async def _unread(request: Request, error: Exception) -> Response:
    """What FastAPI finds wrong with a path or a query: the first part of a place says in which of them it is."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    faults = faults_of([{**one, "loc": one["loc"][1:]} for one in error.errors()])
    return await _invalid(request, InvalidRequest(faults))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101
    metrics.REFUSED.labels(error.code.value).inc()
    headers = {"WWW-Authenticate": 'Basic realm="Cascade"'} if error.status == 401 else {}
    if error.status == 503:
        headers["Retry-After"] = "1"
    return _one(error.status, error.code, str(error), headers)


async def _http(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101
    code = ErrorCode.NOT_FOUND if error.status_code in (404, 405) else ErrorCode.INVALID_FIELD
    headers = dict(error.headers or {})
    match error.status_code:
        case 404:
            message = "There is no such path: /docs lists those there are"
        case 405:
            message = f"{request.method} is not for this path: {headers.get('Allow', 'another method')} is"
        case _:
            message = str(error.detail)
    return _one(error.status_code, code, message, headers)


async def _unavailable(request: Request, error: Exception) -> Response:
    log.error("store_unavailable", path=_route_path(request), error=str(error))
    return _one(503, ErrorCode.UNAVAILABLE, "The store is away; nothing was stored, repeat later", {"Retry-After": "1"})


async def _too_slow(request: Request, error: Exception) -> Response:
    log.warning("query_stopped", path=_route_path(request), error=str(error))
    return _one(503, ErrorCode.UNAVAILABLE, f"{error}: ask for a shorter time, or for less", {"Retry-After": "1"})


async def _broken(request: Request, error: Exception) -> Response:
    request_id = str(uuid.uuid4())
    log.error("request_failed", request_id=request_id, path=_route_path(request), exc_info=error)
    fault = Fault(ErrorCode.INTERNAL_ERROR, "Our fault; tell us the requestId")
    body = {"error": error_object([fault]), "requestId": request_id}
    # The server closes the connection after this: whoever is not told sends the next request into it.
    return Response(orjson.dumps(body), 500, {"Connection": "close"}, media_type="application/json")


def _route_path(request: Request) -> str | None:
    """The path as the door declares it: the one that came may hold a bot's token."""
    path: str | None = getattr(request.scope.get("route"), "path", None)
    return path


def _one(status_code: int, code: ErrorCode, message: str, headers: dict[str, str]) -> Response:
    return Response(error_body([Fault(code, message)]), status_code, headers, media_type="application/json")
