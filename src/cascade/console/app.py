"""The console's application: its pages, its files, and what every answer says to the browser."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from cascade.console import access
from cascade.console.page import Handler, Page, guarded, page
from cascade.console.pages import (
    accounts,
    campaigns,
    entry,
    export,
    messages,
    optouts,
    overview,
    people,
    sending,
    surveys,
    webhooks,
)
from cascade.console.parts import ConsoleParts
from cascade.console.render import STATIC
from cascade.store import tags
from cascade.store.console import Role

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
KEEP: Final = "public, max-age=31536000, immutable"
LOOK: Final = Role.VIEWER
CHANGE: Final = Role.OPERATOR
RULE: Final = Role.ADMIN


def create_console(parts: ConsoleParts) -> Starlette:
    """To be mounted at `page.ROOT`."""
    app = Starlette(
        routes=[
            _get("/", LOOK, overview.overview),
            _get("/overview/live", LOOK, overview.live),
            _get("/messages", LOOK, messages.search),
            _get("/messages/export", LOOK, export.export),
            _get("/messages/live", LOOK, messages.live),
            _get("/messages/{account_id}/{id}", LOOK, messages.show),
            _get("/messages/{account_id}/{id}/live", LOOK, messages.show_live),
            _post("/messages/{account_id}/{id}/cancel", CHANGE, messages.cancel),
            _post("/messages/{account_id}/{id}/hasten", CHANGE, messages.hasten),
            _get("/campaigns", LOOK, campaigns.listed),
            _get("/campaigns/{account_id}/row/{tag:path}", LOOK, campaigns.row),
            _get("/campaigns/{account_id}/show/{tag:path}", LOOK, campaigns.show),
            _get("/campaigns/{account_id}/live/{tag:path}", LOOK, campaigns.live),
            _post("/campaigns/{account_id}/cancel/{tag:path}", CHANGE, campaigns.cancel),
            _get("/surveys", LOOK, surveys.listed),
            _get("/surveys/{account_id}/row/{tag:path}", LOOK, surveys.row),
            _get("/surveys/{account_id}/show/{tag:path}", LOOK, surveys.show),
            _get("/surveys/{account_id}/live/{tag:path}", LOOK, surveys.live),
            _get("/opt-outs", LOOK, optouts.listed),
            _get("/webhooks", LOOK, webhooks.listed),
            _get("/webhooks/{account_id}/{id}", LOOK, webhooks.show),
            _get("/webhooks/{account_id}/{id}/live", LOOK, webhooks.live),
            _post("/webhooks/{account_id}/{id}/enable", CHANGE, webhooks.enable),
            _post("/webhooks/{account_id}/{id}/disable", CHANGE, webhooks.disable),
            _post("/webhooks/{account_id}/{id}/test", CHANGE, webhooks.test),
            _post("/webhooks/{account_id}/{id}/redeliver", CHANGE, webhooks.redeliver_failed),
            _post("/webhooks/{account_id}/{id}/deliveries/{event_id}/redeliver", CHANGE, webhooks.redeliver),
            _get("/accounts", LOOK, accounts.listed),
            _post("/accounts", RULE, accounts.add),
            _get("/accounts/{account_id}", LOOK, accounts.show),
            _post("/accounts/{account_id}/keys", RULE, accounts.add_key),
            _post("/accounts/{account_id}/keys/revoke", RULE, accounts.revoke_key),
            _post("/accounts/{account_id}/bots", RULE, accounts.add_bot),
            _post("/accounts/{account_id}/bots/remove", RULE, accounts.remove_bot),
            _post("/accounts/{account_id}/limits", RULE, accounts.limit),
            _get("/setup", LOOK, accounts.setup),
            _get("/send", CHANGE, sending.form),
            _post("/send", CHANGE, sending.send),
            _get("/me", LOOK, people.me),
            _post("/me/password", LOOK, people.change_password),
            _post("/me/sessions/end", LOOK, people.end_session),
            _get("/users", RULE, people.listed),
            _post("/users", RULE, people.add),
            _post("/users/change", RULE, people.change),
            _post("/users/password", RULE, people.set_password),
            _get("/audit", RULE, people.audit),
            _post("/look", LOOK, entry.look),
            _post("/sign-out", LOOK, entry.sign_out),
            Route("/sign-in", guarded(entry.sign_in), methods=["GET", "POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={HTTPException: _missing},
    )
    app.state.parts = parts
    app.state.campaigns = campaigns.Counts(tags.progress)
    app.state.surveys = campaigns.Counts(surveys.counted)
    return app


def _get(path: str, role: Role, handler: Handler) -> Route:
    return Route(path, page(role, handler), methods=["GET"])


def _post(path: str, role: Role, handler: Handler) -> Route:
    return Route(path, page(role, handler), methods=["POST"])


class SecurityHeaders:
    """Nothing from elsewhere, nothing inline, in no frame; pages are kept by nobody, our files for ever."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY)
                is_file = "/static/" in scope["path"] and message["status"] == 200
                headers["Cache-Control"] = KEEP if is_file else "no-store"
            await send(message)

        await self._app(scope, receive, with_headers)


async def _missing(request: Request, error: Exception) -> Response:
    """An unknown path, or a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    parts: ConsoleParts = request.app.state.parts
    given = Page(request, parts, await access.visitor(parts, request))
    if given.visitor is None:
        return PlainTextResponse("Not found", error.status_code)
    return given.render(
        "problem.html", error.status_code, title=given.t("problem.missing"), text=given.t("problem.missing.text")
    )
