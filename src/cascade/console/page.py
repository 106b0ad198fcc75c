"""What every page is given: who asks, how they want it to look, and the words for it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from cascade.console import access, words
from cascade.console.access import Visitor
from cascade.console.parts import ConsoleParts
from cascade.console.render import ENVIRONMENT, Formats
from cascade.core.directory import Account
from cascade.core.errors import StoreUnavailableError
from cascade.store import console
from cascade.store.console import Done, Role
from cascade.store.database import Transaction

log = structlog.get_logger()

ROOT: Final = "/console"
MOST_FORM_BYTES: Final = 64 * 1024
FORM_LIMIT_S: Final = 30.0
THEMES: Final = ("auto", "light", "dark")
LANGUAGE_COOKIE: Final = "cascade_language"
THEME_COOKIE: Final = "cascade_theme"
ACCOUNT_COOKIE: Final = "cascade_account"
ZONE_COOKIE: Final = "cascade_zone"


class NotFoundError(Exception):
    """There is no such thing: the page says so."""


class RefusedError(Exception):
    """What was asked for cannot be done; `word` names why in the catalogue."""

    def __init__(self, word: str, **values: object) -> None:
        super().__init__(word)
        self.word = word
        self.values = values


@dataclass(frozen=True)
class Page:
    request: Request
    parts: ConsoleParts
    visitor: Visitor | None

    @property
    def who(self) -> Visitor:
        assert self.visitor is not None  # noqa: S101 - pages for visitors are given one
        return self.visitor

    @cached_property
    def language(self) -> str:
        """The one chosen; else the first of the browser's that there is."""
        chosen = self.request.cookies.get(LANGUAGE_COOKIE)
        wanted = [chosen or "", *_languages(self.request.headers.get("accept-language", ""))]
        return next((one for one in wanted if one in words.CATALOGUES), "en")

    @property
    def theme(self) -> str:
        theme = self.request.cookies.get(THEME_COOKIE, "auto")
        return theme if theme in THEMES else "auto"

    @cached_property
    def zone(self) -> ZoneInfo:
        """The browser's, as its script says; UTC until then, or when this machine does not know it."""
        try:
            return ZoneInfo(self.request.cookies.get(ZONE_COOKIE, "UTC")[:60])
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return ZoneInfo("UTC")

    @cached_property
    def account(self) -> Account | None:
        """The one that the pages are narrowed to; None: all of them."""
        text = self.request.cookies.get(ACCOUNT_COOKIE, "")
        try:
            return self.parts.directory().accounts.get(whole(text) or 0)
        except StoreUnavailableError:
            return None

    @cached_property
    def accounts(self) -> list[Account]:
        """Those that the page is about."""
        if self.account is not None:
            return [self.account]
        return sorted(self.parts.directory().accounts.values(), key=lambda one: one.name)

    def may(self, role: str) -> bool:
        return self.visitor is not None and self.visitor.role.may(Role(role))

    def t(self, key: str, **values: object) -> str:
        return words.say(self.language, key, **values)

    @property
    def names(self) -> dict[int, str]:
        """Of the accounts, by id; none while the store was never there, for the page says that."""
        try:
            return {account.id: account.name for account in self.parts.directory().accounts.values()}
        except StoreUnavailableError:
            return {}

    @property
    def formats(self) -> Formats:
        return Formats(self.language, self.zone, self.parts.currency, self.parts.now_ms())

    def render(self, template: str, status: int = 200, **values: Any) -> Response:
        text = ENVIRONMENT.get_template(template).render(
            page=self,
            t=self.t,
            f=self.formats,
            root=ROOT,
            csrf=self.visitor.csrf if self.visitor else "",
            names=self.names,
            path=self.request.url.path.removeprefix(ROOT) or "/",
            done=self.request.query_params.get("done", ""),
            catalogues=words.CATALOGUES,
            themes=THEMES,
            **values,
        )
        return HTMLResponse(text, status)

    def go(self, path: str, done: str | None = None) -> Response:
        """To another page, which says what was done."""
        mark = "&" if "?" in path else "?"
        return RedirectResponse(f"{ROOT}{path}{f'{mark}done={done}' if done else ''}", 303)

    async def form(self) -> dict[str, str]:
        """What a form was filled with; of several values of one name the last."""
        return dict(await self.fields())

    @property
    def host(self) -> str:
        return self.request.client.host if self.request.client else ""

    async def fields(self) -> list[tuple[str, str]]:
        """The same with every value of a name. Of a form that is too long, is cut off or comes
        too slowly nothing is believed, its token neither."""
        state = self.request.state
        if not hasattr(state, "fields"):
            body = await _read(self.request)
            fields = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
            state.fields = [(name, value.replace("\0", "")) for name, value in fields]  # PostgreSQL has no room for it
        found: list[tuple[str, str]] = state.fields
        return found

    async def audit(self, tx: Transaction, action: str, about: str, account_id: int | None = None) -> None:
        """Write down what this visitor changes, in the transaction that changes it."""
        done = Done(self.parts.now_ms(), self.who.user.name, self.host, action, account_id, about)
        await console.audit(tx, done)

    @property
    def back(self) -> str:
        """Where one stands, to come back to. What a form's answer shows has no address of its own: the page that held
        the form has."""
        if self.request.method == "GET":
            return f"{ROOT}{self.request.url.path.removeprefix(ROOT) or '/'}{self.query()}"
        came_from = urlsplit(self.request.headers.get("referer", ""))
        return safe_path(urlunsplit(("", "", came_from.path, came_from.query, "")))

    def query(self, **changes: object) -> str:
        """The page's own query with these changes; None and an empty value leave a name out."""
        merged: dict[str, object] = {**self.request.query_params, **changes}
        merged.pop("done", None)
        kept = {name: value for name, value in merged.items() if value not in (None, "")}
        return f"?{urlencode(kept)}" if kept else ""


async def _read(request: Request) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(FORM_LIMIT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_FORM_BYTES:
                    return b""
    except (TimeoutError, ClientDisconnect):
        return b""
    return body


Handler = Callable[[Page], Awaitable[Response]]


Endpoint = Callable[[Request], Awaitable[Response]]


def guarded(handler: Handler) -> Endpoint:
    """A page for whoever comes, whatever goes wrong in it."""

    async def answer(request: Request) -> Response:
        parts: ConsoleParts = request.app.state.parts
        given = Page(request, parts, None)
        try:
            given = Page(request, parts, await access.visitor(parts, request))
            return await handler(given)
        except StoreUnavailableError as error:
            log.error("console_store_unavailable", error=str(error))
            return given.render("problem.html", 503, title=given.t("problem.store"), text=given.t("problem.store.text"))
        except Exception:
            log.exception("console_failed", path=request.scope["route"].path)
            return given.render("problem.html", 500, title=given.t("problem.ours"), text=given.t("problem.ours.text"))

    return answer


def page(role: Role, handler: Handler) -> Endpoint:
    """A page for visitors of that role. Whoever is not in goes to the sign-in, and comes back here."""

    async def answer(given: Page) -> Response:
        request = given.request
        if given.visitor is None:
            return _to_sign_in(request)
        if request.method == "POST" and not await _is_asked_for(given):
            return given.render("problem.html", 403, title=given.t("problem.stale"), text=given.t("problem.stale.text"))
        if not given.visitor.role.may(role):
            text = given.t("problem.role.text", role=given.t(f"role.{role.value}"))
            return given.render("problem.html", 403, title=given.t("problem.role"), text=text)
        try:
            if any("\0" in text for text in (request.url.path, *request.query_params.values())):
                raise NotFoundError  # PostgreSQL knows no such text, so nothing can be called so
            return await handler(given)
        except NotFoundError:
            return given.render(
                "problem.html", 404, title=given.t("problem.missing"), text=given.t("problem.missing.text")
            )
        except RefusedError as refused:
            text = given.t(refused.word, **refused.values)
            return given.render("problem.html", 400, title=given.t("problem.refused"), text=text)

    return guarded(answer)


async def _is_asked_for(page: Page) -> bool:
    """Whether a change comes from a page of ours that was made for this session."""
    request = page.request
    if not access.is_from_here(request):
        return False
    given = request.headers.get("x-csrf-token") or (await page.form()).get("csrf")
    return access.matches(given, page.who.csrf)


def _to_sign_in(request: Request) -> Response:
    """A fragment asked for by a page's script takes the whole page there."""
    is_fragment = "hx-request" in request.headers
    shown = urlsplit(request.headers.get("hx-current-url", "")) if is_fragment else request.url.components
    back = f"{shown.path}?{shown.query}" if shown.query else shown.path
    to = f"{ROOT}/sign-in?{urlencode({'next': back if request.method == 'GET' else ROOT})}"
    return Response(status_code=401, headers={"HX-Redirect": to}) if is_fragment else RedirectResponse(to, 303)


def safe_path(text: str | None) -> str:
    """A path of the console to go on to, with its query, whatever was asked for; what was done there is said once."""
    if text is None or not (text == ROOT or text.startswith((f"{ROOT}/", f"{ROOT}?"))) or "\\" in text:
        return f"{ROOT}/"
    given = urlsplit(text)
    query = urlencode([one for one in parse_qsl(given.query) if one[0] != "done"])
    return f"{quote(unquote(given.path))}{f'?{query}' if query else ''}"


def _languages(header: str) -> list[str]:
    return [part.split(";")[0].strip().lower()[:2] for part in header.split(",")]


def int_or_missing(values: Mapping[str, Any], name: str) -> int:
    found = whole(str(values.get(name, "")))
    if found is None:
        raise NotFoundError
    return found


def whole(text: str) -> int | None:
    """The number that a field holds; None when it holds none, or one that is larger than any of ours."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None
