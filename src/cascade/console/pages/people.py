"""Users of the console: oneself, the others, and who changed what."""

from typing import Final

from starlette.responses import Response

from cascade.console import access
from cascade.console.page import NotFoundError, Page, RefusedError, whole
from cascade.store import console
from cascade.store.console import Role, User

LENGTH: Final = 100
LAST: Final = 1 << 62


async def me(page: Page) -> Response:
    async with page.parts.database.reading() as reader:
        sessions = await console.sessions(reader, page.who.user.id)
    return page.render("me.html", sessions=sessions, mine=page.who.session.digest, shortest=access.SHORTEST_PASSWORD)


async def change_password(page: Page) -> Response:
    form = await page.form()
    user = page.who.user
    async with page.parts.database.transaction() as tx:
        wait_ms = await console.guess(tx, "name", user.name.casefold(), page.parts.now_ms())
    if wait_ms or not await access.is_password(user, form.get("old", "")):
        raise RefusedError("me.wrong")
    password = _password(form)
    hashed = await access.hash_password(password)
    async with page.parts.database.transaction() as tx:
        await console.guessed_right(tx, "name", user.name.casefold())
        await console.set_password(tx, user.id, hashed, keep=page.who.session.digest)
        await page.audit(tx, "password_changed", user.name)
    return page.go("/me", "password_changed")


async def end_session(page: Page) -> Response:
    given = (await page.form()).get("digest", "")
    try:
        digest = bytes.fromhex(given)
    except ValueError:
        raise NotFoundError from None
    async with page.parts.database.transaction() as tx:
        await console.end_session(tx, page.who.user.id, digest)
        await page.audit(tx, "session_ended", page.who.user.name)
    return page.go("/me", "session_ended")


async def listed(page: Page) -> Response:
    async with page.parts.database.reading() as reader:
        users = await console.users(reader)
    return page.render("users.html", users=users, roles=list(Role), shortest=access.SHORTEST_PASSWORD)


async def add(page: Page) -> Response:
    form = await page.form()
    name = form.get("name", "").strip()
    if not name or len(name) > access.LONGEST_NAME or not name.isprintable():
        raise RefusedError("users.bad_name")
    role = _role(form)
    hashed = await access.hash_password(_password(form))
    async with page.parts.database.transaction() as tx:
        if not await console.add_user(tx, name, hashed, role, page.parts.now_ms()):
            raise RefusedError("users.taken", name=name)
        await page.audit(tx, "user_added", f"{name}: {role.value}")
    return page.go("/users", "user_added")


async def change(page: Page) -> Response:
    """Another role, and whether they may come in. Nobody shuts themselves out."""
    form = await page.form()
    user = await _named(page)
    if user.id == page.who.user.id:
        raise RefusedError("users.yourself")
    role = _role(form)
    is_enabled = form.get("enabled") == "yes"
    async with page.parts.database.transaction() as tx:
        await console.set_role(tx, user.id, role)
        await console.enable(tx, user.id, is_enabled=is_enabled)
        await page.audit(tx, "user_changed", f"{user.name}: {role.value}, {'enabled' if is_enabled else 'disabled'}")
    return page.go("/users", "user_changed")


async def set_password(page: Page) -> Response:
    """For somebody who forgot theirs; it ends their sessions."""
    user = await _named(page)
    hashed = await access.hash_password(_password(await page.form()))
    async with page.parts.database.transaction() as tx:
        await console.set_password(tx, user.id, hashed)
        await page.audit(tx, "password_set", user.name)
    return page.go("/users", "password_set")


async def audit(page: Page) -> Response:
    before = whole(page.request.query_params.get("before", ""))
    async with page.parts.database.reading() as reader:
        lines = await console.audited(reader, LAST if before is None else before, LENGTH + 1)
    older = lines[LENGTH - 1][0] if len(lines) > LENGTH else None
    return page.render("audit.html", lines=lines[:LENGTH], before=older, is_first=before is None)


async def _named(page: Page) -> User:
    async with page.parts.database.reading() as reader:
        user = await console.find_user(reader, (await page.form()).get("name", ""))
    if user is None:
        raise NotFoundError
    return user


def _role(form: dict[str, str]) -> Role:
    if form.get("role") not in list(Role):
        raise RefusedError("users.bad_role")
    return Role(form["role"])


def _password(form: dict[str, str]) -> str:
    password = form.get("password", "")
    if not access.SHORTEST_PASSWORD <= len(password) <= access.LONGEST_PASSWORD:
        raise RefusedError("me.short", number=access.SHORTEST_PASSWORD)
    return password
