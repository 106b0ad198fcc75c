"""Visits to the console without a browser: what a form sends, and what the server says to it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie

from aiohttp import ClientSession, DummyCookieJar
from starlette.applications import Starlette
from starlette.routing import Mount

from api.doors import HOST, Doors
from cascade.console.access import hash_password
from cascade.console.parts import ConsoleParts
from cascade.serve import Gateway, now_ms
from cascade.store import console
from cascade.store.console import Role

PAGES = (
    *("/", "/messages", "/campaigns", "/surveys", "/opt-outs", "/webhooks", "/accounts", "/accounts/1", "/setup"),
    *("/send", "/me", "/users", "/audit"),
)
ODD = (  # questions that no page of ours asks
    *(
        "/?period=century",
        "/messages?q=%00",
        "/messages?tag=%00",
        "/messages?before=x&status=x&type=x&channel=x&span=x",
    ),
    *(
        "/messages?account=99999999999999999999",
        "/messages/export?before=x&status=x&type=x&channel=x&span=x&account=99999999999999999999&q=%2B3805011122",
        "/messages?q=%2B3805011122%00",
        "/opt-outs?q=%00",
        "/opt-outs?after=%00",
    ),
    *("/audit?before=99999999999999999999", "/audit?before=-1", "/webhooks/1/%00", "/webhooks/999999999999999/x"),
    *("/campaigns/1/show/%00", "/campaigns/1/row/%00", "/surveys/1/show/%00", "/messages/1/%00", "/accounts/9999"),
)
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Seen:
    status: int
    headers: Mapping[str, str]
    text: str
    set_cookies: list[str]

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" (?:content|value)="([^"]+)"', self.text)
        assert found is not None, self.text[:500]
        return found[1]


@dataclass
class Visits:
    """One browser's cookies. Its address is always the same one."""

    doors: Doors
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> ConsoleParts:
        parts: ConsoleParts = console_app(self.doors.gateway).state.parts
        return parts

    async def get(self, path: str, **headers: str) -> Seen:
        return await self._ask("GET", path, None, headers)

    async def post(self, path: str, form: Mapping[str, str] | None = None, **headers: str) -> Seen:
        return await self._ask("POST", path, form or {}, headers)

    async def _ask(self, method: str, path: str, form: Mapping[str, str] | None, headers: Mapping[str, str]) -> Seen:
        url = f"http://{HOST}:{self.doors.port}/console{path}"
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if cookie:
            sent["Cookie"] = cookie
        async with (
            ClientSession(cookie_jar=DummyCookieJar()) as session,
            session.request(method, url, data=form, headers=sent, allow_redirects=False) as answer,
        ):
            given = answer.headers.getall("Set-Cookie", [])
            for one in given:
                for name, morsel in SimpleCookie(one).items():
                    self.cookies[name] = morsel.value
                    if morsel["max-age"] == "0":
                        del self.cookies[name]
            return Seen(answer.status, answer.headers.copy(), await answer.text(), given)

    async def sign_in(self, name: str, password: str = PASSWORD) -> Seen:
        form = await self.get("/sign-in")
        return await self.post("/sign-in", {"csrf": form.csrf, "name": name, "password": password})

    async def signed_in(self, name: str) -> "Visits":
        assert (await self.sign_in(name)).status == 303
        return self

    async def change(self, path: str, **form: str) -> Seen:
        """A POST as a page of ours sends it."""
        me = await self.get("/me")
        return await self.post(path, {"csrf": me.csrf, **form}, Sec_Fetch_Site="same-origin")


def console_app(gateway: Gateway) -> Starlette:
    mounts = (route for route in gateway.app.routes if isinstance(route, Mount) and route.path == "/console")
    app = next(mounts).app
    assert isinstance(app, Starlette)
    return app


async def users_added(gateway: Gateway) -> None:
    """One of each role, named after it."""
    hashed = await hash_password(PASSWORD)
    async with gateway.database.transaction() as tx:
        for role in Role:
            await console.add_user(tx, role.value, hashed, role, now_ms())
