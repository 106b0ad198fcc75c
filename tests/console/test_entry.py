"""Who comes in, for how long, and what the pages refuse to do for others."""

import asyncio
import dataclasses
import html
import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from api.doors import HOST, PATIENCE_S, Doors
from cascade.console import access, page
from cascade.store import console
from cascade.store.console import Role

from .visits import PASSWORD, Visits, console_app

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOUR_MS = 3_600_000


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def nobody_waits(city: Doors) -> None:
    """All tests come from one address: the failures of one are not to delay the next."""
    async with city.gateway.database.transaction() as tx:
        await tx.execute("DELETE FROM console_throttle")


@pytest.fixture
def later(visits: Visits) -> Iterator[list[int]]:
    """The first item is how many milliseconds the console's clock is ahead."""
    app, before, ahead = console_app(visits.doors.gateway), visits.parts, [0]
    app.state.parts = dataclasses.replace(before, now_ms=lambda: before.now_ms() + ahead[0])
    yield ahead
    app.state.parts = before


async def test_whoever_is_not_in_goes_to_the_sign_in_and_then_where_they_wanted(visits: Visits) -> None:
    sent_away = await visits.get("/messages")
    assert (sent_away.status, sent_away.headers["Location"]) == (303, "/console/sign-in?next=%2Fconsole%2Fmessages")
    form = await visits.get("/sign-in?next=%2Fconsole%2Fmessages")
    fields = {"csrf": form.csrf, "name": "viewer", "password": PASSWORD, "next": "/console/messages"}
    came = await visits.post("/sign-in", fields)
    assert (came.status, came.headers["Location"]) == (303, "/console/messages")
    assert (await visits.get("/messages")).status == 200


async def test_the_sign_in_leads_back_to_what_was_searched_for(visits: Visits) -> None:
    sent_away = await visits.get("/messages?status=undeliverable&q=%2B380501112233")
    onward = parse_qs(urlsplit(sent_away.headers["Location"]).query)["next"][0]
    form = await visits.get("/sign-in")
    came = await visits.post("/sign-in", {"csrf": form.csrf, "name": "viewer", "password": PASSWORD, "next": onward})
    assert came.headers["Location"] == "/console/messages?status=undeliverable&q=%2B380501112233"


LOOKS_FROM = {  # the page looked at -> where choosing a language there leads
    "a search": ("/messages?status=delivered&tag=a", "/console/messages?status=delivered&tag=a"),
    "the end of a change": ("/messages?tag=a&done=message_cancelled", "/console/messages?tag=a"),
}


@pytest.mark.parametrize("looked_at", LOOKS_FROM)
async def test_choosing_a_language_keeps_the_page_as_it_was(visits: Visits, looked_at: str) -> None:
    path, onward = LOOKS_FROM[looked_at]
    await visits.signed_in("viewer")
    page = await visits.get(path)
    back = html.unescape(re.findall(r'name="back" value="([^"]+)"', page.text)[0])
    chosen = await visits.post("/look", {"csrf": page.csrf, "language": "uk", "back": back})
    assert (chosen.status, chosen.headers["Location"]) == (303, onward)


async def test_choosing_a_language_on_a_forms_answer_leads_to_the_form(visits: Visits) -> None:
    await visits.signed_in("admin")
    me = await visits.get("/me")
    form = {"csrf": me.csrf, "name": "k", "scope": "nothing"}
    came_from = f"http://{HOST}:{visits.doors.port}/console/accounts/1"
    refused = await visits.post("/accounts/1/keys", form, Sec_Fetch_Site="same-origin", Referer=came_from)
    assert refused.status == 400
    assert 'name="back" value="/console/accounts/1"' in refused.text
    assert '<a href="/console/accounts/1">Back to the form</a>' in refused.text


ELSEWHERE = ["//evil.example/", "https://evil.example/console/", "/elsewhere", "/console/\\evil"]


@pytest.mark.parametrize("onward", ELSEWHERE)
async def test_the_sign_in_leads_nowhere_else(visits: Visits, onward: str) -> None:
    form = await visits.get("/sign-in")
    fields = {"csrf": form.csrf, "name": "viewer", "password": PASSWORD, "next": onward}
    assert (await visits.post("/sign-in", fields)).headers["Location"] == "/console/"


async def test_a_fragment_of_a_page_takes_the_whole_page_to_the_sign_in(visits: Visits) -> None:
    answer = await visits.get("/overview/live", HX_Request="true")
    assert (answer.status, answer.headers["HX-Redirect"]) == (401, "/console/sign-in?next=")
    shown = f"http://{HOST}:{visits.doors.port}/console/messages?tag=a"
    answer = await visits.get("/messages/live?tag=a", HX_Request="true", HX_Current_URL=shown)
    assert answer.headers["HX-Redirect"] == "/console/sign-in?next=%2Fconsole%2Fmessages%3Ftag%3Da"


async def test_the_cookie_is_for_the_browser_alone(visits: Visits) -> None:
    came = await visits.sign_in("viewer")
    (session,) = [one for one in came.set_cookies if one.startswith("cascade_session=")]
    for mark in ("HttpOnly", "Path=/console", "SameSite=lax"):
        assert mark in session
    async with visits.doors.gateway.database.reading() as reader:
        rows = await reader.rows("SELECT * FROM console_session")
    token = session.partition("=")[2].partition(";")[0]
    assert token.encode() not in b"".join(bytes(row[0]) for row in rows)


async def test_a_wrong_password_and_an_unknown_name_are_told_alike(visits: Visits) -> None:
    wrong = await visits.sign_in("viewer", "wrong")
    unknown = await visits.sign_in("nobody", "wrong")
    assert (wrong.status, unknown.status) == (401, 401)
    assert wrong.text.replace("viewer", "nobody").replace(wrong.csrf, "") == unknown.text.replace(unknown.csrf, "")


async def test_an_unknown_name_takes_as_long_as_a_known_one() -> None:
    hasher = PasswordHasher()
    assert not hasher.check_needs_rehash(access.NOBODY)
    with pytest.raises(VerifyMismatchError):
        hasher.verify(access.NOBODY, PASSWORD)


async def test_guesses_have_to_wait_and_the_right_one_too(visits: Visits, later: list[int]) -> None:
    for _ in range(console.FREE_FAILURES["name"]):
        assert "wrong" in (await visits.sign_in("viewer", "guess")).text
    assert "Wait 1 s" in (await visits.sign_in("viewer")).text
    assert (await visits.sign_in("operator")).status == 303  # nobody else is held up
    later[0] = 1_100
    assert (await visits.sign_in("viewer")).status == 303


async def test_a_form_of_another_site_signs_nobody_in(visits: Visits) -> None:
    await visits.get("/sign-in")
    forged = {"csrf": "of another page", "name": "viewer", "password": PASSWORD}
    assert (await visits.post("/sign-in", forged)).status == 401
    assert (await visits.get("/")).status == 303


async def test_a_form_that_does_not_come_is_not_waited_for(visits: Visits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "FORM_LIMIT_S", 0.05)
    reader, writer = await asyncio.open_connection(HOST, visits.doors.port)
    async with asyncio.timeout(PATIENCE_S):
        writer.write(b"POST /console/sign-in HTTP/1.1\r\nHost: cascade\r\nContent-Length: 100\r\n\r\ncsrf=")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.close()


async def test_signing_out_ends_the_session_wherever_its_cookie_is(visits: Visits) -> None:
    await visits.signed_in("viewer")
    stolen = Visits(visits.doors, dict(visits.cookies))
    assert (await stolen.get("/")).status == 200
    await visits.change("/sign-out")
    assert (await stolen.get("/")).status == 303


async def test_a_session_untouched_ends_and_one_in_use_goes_on_until_its_longest(
    visits: Visits, later: list[int]
) -> None:
    await visits.signed_in("viewer")
    idle, longest = visits.parts.times.idle_ms // HOUR_MS, visits.parts.times.longest_ms // HOUR_MS
    later[0] = (idle - 1) * HOUR_MS
    assert (await visits.get("/")).status == 200
    later[0] += (idle - 1) * HOUR_MS
    assert (await visits.get("/")).status == 200
    later[0] += (idle + 1) * HOUR_MS
    assert (await visits.get("/")).status == 303
    later[0] = 0
    await visits.signed_in("viewer")
    while later[0] < longest * HOUR_MS:
        assert (await visits.get("/")).status == 200
        later[0] += (idle - 1) * HOUR_MS
    assert (await visits.get("/")).status == 303


FORBIDDEN = {  # what a change lacks -> (is the token right, Sec-Fetch-Site)
    "no token": (False, "same-origin"),
    "asked for by another site, with the token": (True, "cross-site"),
    "asked for by a sister's page, with the token": (True, "same-site"),
}


@pytest.mark.parametrize("lack", FORBIDDEN)
async def test_a_change_that_no_page_of_ours_asked_for_is_refused(visits: Visits, lack: str) -> None:
    has_token, site = FORBIDDEN[lack]
    await visits.signed_in("admin")
    csrf = (await visits.get("/me")).csrf if has_token else "guessed"
    name = f"forged-{len(lack)}"
    answer = await visits.post("/accounts", {"csrf": csrf, "name": name}, Sec_Fetch_Site=site)
    assert answer.status == 403
    assert name not in (await visits.get("/accounts")).text


async def test_a_token_of_another_session_is_refused(visits: Visits) -> None:
    other = await Visits(visits.doors).signed_in("admin")
    token = (await other.get("/me")).csrf
    await visits.signed_in("admin")
    assert (await visits.post("/accounts", {"csrf": token, "name": "forged"})).status == 403


MAY = {  # who may: the least role, a request
    "look": (Role.VIEWER, "GET", "/"),
    "search": (Role.VIEWER, "GET", "/messages"),
    "see accounts": (Role.VIEWER, "GET", "/accounts"),
    "open the test form": (Role.OPERATOR, "GET", "/send"),
    "cancel a campaign": (Role.OPERATOR, "POST", "/campaigns/1/cancel/nothing"),
    "see the users": (Role.ADMIN, "GET", "/users"),
    "see the audit log": (Role.ADMIN, "GET", "/audit"),
    "make a key": (Role.ADMIN, "POST", "/accounts/1/keys"),
    "revoke a key": (Role.ADMIN, "POST", "/accounts/1/keys/revoke"),
    "add a user": (Role.ADMIN, "POST", "/users"),
}


@pytest.mark.parametrize("what", MAY)
async def test_may(visits: Visits, what: str) -> None:
    least, method, path = MAY[what]
    for role in Role:
        await visits.signed_in(role.value)
        answer = await (visits.get(path) if method == "GET" else visits.change(path))
        assert (answer.status == 403) is not role.may(least), role


async def test_a_user_disabled_is_out_at_once(visits: Visits) -> None:
    admin = await Visits(visits.doors).signed_in("admin")
    await admin.change("/users", name="taras", password=PASSWORD, role="operator")
    await visits.signed_in("taras")
    await admin.change("/users/change", name="taras", role="operator", enabled="no")
    assert (await visits.get("/")).status == 303
    assert (await visits.sign_in("taras")).status == 401
    log = (await admin.get("/audit")).text
    assert "taras: operator, disabled" in log


async def test_a_new_password_counts_and_the_old_one_no_longer(visits: Visits) -> None:
    admin = await Visits(visits.doors).signed_in("admin")
    await admin.change("/users", name="olena", password=PASSWORD, role="viewer")
    await visits.signed_in("olena")
    refused = await visits.change("/me/password", old="wrong", password="another good one")
    assert refused.status == 400
    changed = await visits.change("/me/password", old=PASSWORD, password="another good one")
    assert changed.status == 303
    assert (await visits.get("/")).status == 200
    other = Visits(visits.doors)
    assert (await other.sign_in("olena")).status == 401
    assert (await other.sign_in("olena", "another good one")).status == 303


HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


@pytest.mark.parametrize("path", ["/sign-in", "/", "/static/console.css", "/nowhere"])
async def test_every_answer_tells_the_browser_to_be_careful(visits: Visits, path: str) -> None:
    answer = await visits.get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name].startswith(value)
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    kept = "immutable" if path.startswith("/static") else "no-store"
    assert kept in answer.headers["Cache-Control"]
