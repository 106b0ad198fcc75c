"""The store: that it is there, that it can be written, that its secrets can be opened."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet

from cascade.cli.checkup.clock import of_clock
from cascade.cli.checkup.finding import Finding, State, of_error, well
from cascade.core.errors import CascadeError, ConfigError
from cascade.core.secret import Secret
from cascade.serve import now_ms, open_seal
from cascade.settings import Settings
from cascade.store import accounts, engines, fitness, nodes, versions, webhooks
from cascade.store.accounts import Accounts, Seal
from cascade.store.database import Database
from cascade.store.fitness import Fitness
from cascade.store.webhooks import Webhook

SCARCE_BYTES: Final = 1 << 30
BESIDE_THE_POOL: Final = 2
"""Connections of a process beside `store.connections`: one listens, one keeps the node alive."""


async def of_store(settings: Settings) -> tuple[list[Finding], Accounts | None, list[Webhook]]:
    """What was found, what the store holds, and the webhooks that are enabled; None when it cannot be read."""
    findings: list[Finding] = []
    try:
        shown = settings.store.shown
        is_postgres = engines.is_postgres(settings.store.url)
        found = await engines.version_of(settings.store.url)
        if is_postgres:
            fit = await fitness.of_postgres(settings.store.url)
            findings += [*_of_rights(fit, has_tables=found is not None), *_of_commits(fit)]
            findings.append(of_clock(now_ms() - fit.now_ms, "PostgreSQL"))
        else:
            findings += _of_disk(settings.store.path)
        if found is None:
            fix = "`cascade account add NAME` makes it"
            return [*findings, Finding("store", State.ILL, f"{shown}: there is none yet", fix)], None, []
        versions.check(found, shown)
        database = settings.store.database()
        await database.open(owner=False)
    except ConfigError as error:
        return [*findings, of_error("store", error)], None, []
    except CascadeError as error:
        return [*findings, Finding("store", State.ILL, str(error))], None, []
    try:
        findings.insert(0, well("store", f"{shown}, version {found}"))
        if is_postgres:
            async with database.reading() as reader:
                living, _ = await nodes.standing(reader)
            findings.append(_of_connections(fit, settings.store.connections, len(living)))
        key_file = settings.store.home / settings.secrets.key_file
        is_without_key = not settings.secrets.keys and not key_file.exists()
        try:
            # To look must not make a key: any will do where nothing is sealed.
            seal = Seal([Secret(Fernet.generate_key().decode())]) if is_without_key else open_seal(settings)
            loaded, enabled = await _load(database, seal)
        except ConfigError as error:
            finding = of_error("secrets", error)
            if is_without_key:
                problem = f"there is no {key_file}, and what is in the store was sealed by it"
                finding = Finding("secrets", State.ILL, problem, "Put it back, or name its keys in secrets.keys")
            return [*findings, finding], None, []
        sealed = "nothing is sealed yet" if is_without_key else "every bot token and webhook secret can be opened"
        findings.append(well("secrets", sealed))
        return [*findings, *await _of_webhooks(database)], loaded, enabled
    except CascadeError as error:
        return [*findings, Finding("store", State.ILL, str(error))], None, []
    finally:
        await database.close()


async def _load(database: Database, seal: Seal) -> tuple[Accounts, list[Webhook]]:
    """Everything of the directory, its secrets opened."""
    async with database.reading() as reader:
        loaded = await accounts.load(reader, seal)
        enabled = await webhooks.enabled(reader)
    for webhook in enabled:
        webhook.valid_secrets(seal.open, now_ms())
    return loaded, enabled


def _of_disk(path: Path) -> Iterator[Finding]:
    """Where SQLite's file is, or will be. A store that is there is looked at, too: another user may have made it."""
    home = path.parent
    if not home.is_dir():
        return  # it is made with the store
    fix = f"Let the user of the service write {home}, or move store.url; run this command as that user"
    place = home
    try:
        with tempfile.TemporaryFile(dir=home) as file:
            file.write(b"x")
        place = path
        if path.exists():
            with path.open("r+b"):
                pass
    except OSError as error:
        yield Finding("disk", State.ILL, f"{place} cannot be written: {error.strerror}", fix)
        return
    free = shutil.disk_usage(home).free
    state = State.WARNING if free < SCARCE_BYTES else State.WELL
    fix = f"A full disk stops the gateway: make room at {home}, or move store.url" if state is State.WARNING else ""
    yield Finding("disk", state, f"{free / 2**30:.1f} GiB free", fix)


def _of_rights(found: Fitness, *, has_tables: bool) -> Iterator[Finding]:
    if not found.schema:
        fix = "Make the schema that search_path names, or name another: ?search_path=… at the end of store.url"
        yield Finding("rights", State.ILL, f"there is no schema in which {found.user} could have tables", fix)
    elif found.lacking:
        fix = f"ALTER TABLE … OWNER TO {found.user}, or GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA"
        detail = f"{found.user} may not read and write {', '.join(found.lacking[:3])}"
        more = f" and {len(found.lacking) - 3} more" if len(found.lacking) > 3 else ""
        yield Finding("rights", State.ILL, detail + more, f"{fix} {found.schema} TO {found.user}")
    elif not found.may_create:
        fix = f"GRANT CREATE ON SCHEMA {found.schema} TO {found.user}"
        fix += ", before the next `cascade store migrate`" if has_tables else ", or let it own the database"
        state = State.WARNING if has_tables else State.ILL
        yield Finding("rights", state, f"{found.user} may make no tables in {found.schema}", fix)
    else:
        yield well("rights", f"{found.user} may read, write and make tables")


def _of_connections(found: Fitness, pool: int, living: int) -> Finding:
    """`living`: the nodes of now; before the first start one is counted."""
    each, count = pool + BESIDE_THE_POOL, max(living, 1)
    needed = f"{count} node{'s' if count > 1 else ''} of store.connections + 2 = {each} need {each * count}"
    if each * count > found.connections:
        fix = "Lower store.connections, or raise max_connections, or the limit of the role or the database"
        return Finding("connections", State.ILL, f"{needed}, PostgreSQL gives {found.connections}", fix)
    return well("connections", f"{needed} of {found.connections}")


def _of_commits(found: Fitness) -> Iterator[Finding]:
    if found.synchronous_commit in ("off", "local"):
        fix = "Set synchronous_commit = on for the role and the database: 200 means that a crash loses nothing"
        detail = f"synchronous_commit is {found.synchronous_commit}"
        yield Finding("commits", State.ILL if found.synchronous_commit == "off" else State.WARNING, detail, fix)


async def _of_webhooks(database: Database) -> list[Finding]:
    findings = []
    async with database.reading() as reader:
        for account_id in await accounts.ids(reader):
            for webhook in await webhooks.of_account(reader, account_id):
                name = f"webhook {webhook.url}"
                if not webhook.is_enabled:
                    fix = "`cascade webhook enable`, once it is mended"
                    findings.append(Finding(name, State.WARNING, f"disabled: {webhook.disabled_reason}", fix))
                elif webhook.failing_since_ms is not None:
                    fix = "`cascade webhook deliveries` shows the answers"
                    findings.append(Finding(name, State.WARNING, "no try succeeds of late", fix))
    return findings
