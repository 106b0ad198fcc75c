"""The short way to the send doors: a plain request goes to its door without the framework's routing and dependencies.

Those cost a request more than all that the door does. What is not plain (a query, another method or path) takes the
long way, to the same functions; what a door raises is answered by the same handlers.
"""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from cascade.api.rates import HEADERS

API_PATHS = ("/api/", "/bat/", "/v1/", "/s/", "/callbacks/")
Door = Callable[[Request], Awaitable[Response]]


class Straight:
    """ASGI: outside of all middleware. `doors` by path take POST requests without a query.

    A slash at the end of an API's path changes nothing. The framework would redirect, which not every client follows,
    and behind a proxy that it does not know of to http, where the key would be read on the way.
    """

    def __init__(self, api: FastAPI, doors: Mapping[str, Door]) -> None:
        self._api = api
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = None
        if scope["type"] == "http" and scope["path"].endswith("/") and scope["path"].startswith(API_PATHS):
            scope["path"] = scope["path"].rstrip("/")
        if scope["type"] == "http" and scope["method"] == "POST" and not scope["query_string"]:
            door = self._doors.get(scope["path"])
        if door is None:
            await self._api(scope, receive, send)
            return
        scope["app"] = self._api
        request = Request(scope, receive)
        try:
            response = await door(request)
        except Exception as error:
            response = await self._refusal(request, error)
        response.headers.update(getattr(request.state, HEADERS, {}))
        await response(scope, receive, send)

    async def _refusal(self, request: Request, error: Exception) -> Response:
        handlers = self._api.exception_handlers
        handler = next(handlers[kind] for kind in type(error).__mro__ if kind in handlers)
        answer: Response = await handler(request, error)  # type: ignore[misc] # ours are all coroutines
        return answer
