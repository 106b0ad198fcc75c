"""Coming in and going out, and how a visitor wants the pages to look."""

import secrets

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cascade.console import access, words
from cascade.console.access import COOKIE, SIGN_IN_COOKIE, Refused
from cascade.console.page import (
    ACCOUNT_COOKIE,
    LANGUAGE_COOKIE,
    ROOT,
    THEME_COOKIE,
    THEMES,
    Page,
    safe_path,
)

YEAR_S = 365 * 86_400


async def sign_in(given: Page) -> Response:
    """The form; and what is sent with it. Its own token is a cookie's twin: there is no session to hold one yet."""
    request, parts = given.request, given.parts
    page = Page(request, parts, None)
    form = await page.form() if request.method == "POST" else {}
    onward = safe_path(form.get("next") or request.query_params.get("next"))
    twin = request.cookies.get(SIGN_IN_COOKIE) or secrets.token_urlsafe(24)
    name = form.get("name", "")
    problem = None
    if request.method == "POST":
        is_ours = access.is_from_here(request) and access.matches(form.get("csrf"), twin)
        if is_ours and SIGN_IN_COOKIE in request.cookies:
            agent = request.headers.get("user-agent", "")
            result = await access.sign_in(parts, name, form.get("password", ""), page.host, agent)
            if not isinstance(result, Refused):
                answer = RedirectResponse(onward, 303)
                _set(answer, request, COOKIE, result, parts.times.longest_ms // 1_000)
                answer.delete_cookie(SIGN_IN_COOKIE, path=ROOT)
                return answer
            wait_s = -(-result.wait_ms // 1_000)
            problem = page.t("sign_in.wait", seconds=wait_s) if wait_s else page.t("sign_in.wrong")
        else:
            problem = page.t("sign_in.stale")
    shown = page.render("sign_in.html", 401 if problem else 200, problem=problem, name=name, onward=onward, twin=twin)
    _set(shown, request, SIGN_IN_COOKIE, twin, 3_600)
    return shown


async def sign_out(page: Page) -> Response:
    await access.sign_out(page.parts, page.who)
    answer = page.go("/sign-in")
    answer.delete_cookie(COOKIE, path=ROOT)
    return answer


async def look(page: Page) -> Response:
    """Language, theme, and the account that the pages are narrowed to."""
    form = await page.form()
    answer = RedirectResponse(safe_path(form.get("back")), 303)
    if form.get("language") in words.CATALOGUES:
        _set(answer, page.request, LANGUAGE_COOKIE, form["language"], YEAR_S)
    if form.get("theme") in THEMES:
        _set(answer, page.request, THEME_COOKIE, form["theme"], YEAR_S)
    if form.get("account", "").isdecimal():
        _set(answer, page.request, ACCOUNT_COOKIE, form["account"], YEAR_S)
    elif "account" in form:
        answer.delete_cookie(ACCOUNT_COOKIE, path=ROOT)
    return answer


def _set(answer: Response, request: Request, name: str, value: str, age_s: int) -> None:
    answer.set_cookie(
        name, value, max_age=age_s, path=ROOT, secure=request.url.scheme == "https", httponly=True, samesite="lax"
    )
