"""How long the pages of the console and the lists of the API take on a PostgreSQL with a million messages of 30 days.

    python -m bench.pages                      # two minutes, 2.3 GB of disk; docs/console.md has what it said
    python -m bench.pages --messages 100000

Twenty accounts: three of them have eight of ten messages. One campaign of a fifth of all messages, others by the week,
an account that tags by the order; surveys; an event of each message of six accounts, told to one or two webhooks. One
JSON line a page: the first time, and the quickest of the next ones. The gateway is the real one, the server the
package's with its defaults.
"""

import argparse
import asyncio
import json
import re
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import asyncpg
from aiohttp import ClientSession, CookieJar
from cryptography.fernet import Fernet

from bench.gateway import Gateway
from bench.postgres import Postgres
from cascade.console.access import hash_password
from cascade.serve import now_ms
from cascade.store import console, engines
from cascade.store.console import Role

ACCOUNTS = 20
DAYS = 30
USER, PASSWORD = "bench", "correct horse battery"
TIMES = 4
NO_KEY: Mapping[str, str] = {}
BIG = "autumn"
HOOK = "wh_" + "1".rjust(31, "0")
FILL = (
    "SET synchronous_commit = off",
    # `roll` goes evenly through 0 to 99, in no account's own way.
    """
    CREATE TEMP TABLE given AS
    SELECT n, account_id, at_ms, n * 7919 % 101 % 100 AS roll,
        decode(lpad(to_hex(at_ms), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15),
            'hex') AS id,
        n > {count} * 999 / 1000 AND n % 2 = 0 AS is_queued,
        CASE WHEN n % 50 = 7 THEN 'viber_survey' WHEN n % 3 = 0 THEN 'promo' ELSE 'transaction' END AS type,
        CASE WHEN n * 7919 % 1009 = 0 THEN 'permanenterror' WHEN n * 7919 % 101 >= 92 THEN 'undeliverable'
            ELSE 'delivered' END AS status
    FROM (SELECT n, CASE WHEN n % 100 < 50 THEN 1 WHEN n % 100 < 70 THEN 2 WHEN n % 100 < 80 THEN 3
                ELSE 4 + n % ({accounts} - 3) END AS account_id,
            {now_ms} - ({count} + 1 - n) * ({days} * 86400000::bigint / {count}) AS at_ms
        FROM generate_series(1::bigint, {count}) AS n) AS numbered
    """,
    """
    INSERT INTO message (account_id, id, tracking_id, sender, phone, type, is_urgent, text, extras, route,
        accepted_at_ms, expires_at_ms, state, status, step, attempt, tries, link, due_at_ms, deadline_at_ms,
        step_ends_at_ms, fence, delivered_step, delivered, cost_micros, finished_at_ms, timeline, batch_id, era,
        delivered_by)
    SELECT account_id, id, 'order-' || n, 'Shop', '+38050' || lpad((n * 7919 % 300000)::text, 7, '0'), type,
        type = 'transaction', repeat('Your order is on its way. ', 3),
        CASE WHEN type = 'viber_survey' THEN '{{"options":["Yes","No","Maybe"]}}' END,
        '[["viber_bot","viber_bot.2",60,0,2000,null,[]],["sms","sms.smpp",null,0,50000,null,[]]]',
        at_ms, at_ms + 86400000, CASE WHEN is_queued THEN 'queued' ELSE 'final' END,
        CASE WHEN is_queued THEN 'processing' ELSE status END, CASE WHEN is_queued THEN 0 ELSE roll % 2 END,
        CASE WHEN is_queued THEN 0 ELSE 1 END, 1, CASE WHEN is_queued THEN 'viber_bot.2' END,
        at_ms + CASE WHEN is_queued THEN 864000000 ELSE 0 END, CASE WHEN is_queued THEN at_ms + 864000000 END,
        at_ms + 3600000, 3, CASE WHEN NOT is_queued AND status = 'delivered' THEN roll % 2 END,
        CASE WHEN NOT is_queued AND status = 'delivered' THEN '1' ELSE '' END, 2000 + roll % 2 * 48000,
        CASE WHEN NOT is_queued THEN at_ms + 2000 END,
        CASE WHEN is_queued THEN '' ELSE '[' || at_ms + 5 || ',' || roll % 2 || ',1,"accepted",null,"' || to_hex(n)
            || '"],[' || at_ms + 2000 || ',' || roll % 2 || ',1,"' ||
            CASE status WHEN 'delivered' THEN 'delivered' ELSE 'failed' END || '"],' END,
        n / 100, at_ms / 3600000 * 3600000 + account_id,
        CASE WHEN NOT is_queued AND status = 'delivered' THEN (ARRAY['viber_bot', 'sms'])[roll % 2 + 1] END
    FROM given ORDER BY n
    """,
    """
    INSERT INTO message_tag
    SELECT account_id, '{big}', id FROM given WHERE account_id = 1 AND n > {count} * 0.3 AND n <= {count} * 0.7
    UNION ALL SELECT account_id, 'week-' || n * 40 / {count}, id FROM given WHERE n % 3 = 0 AND account_id < 10
    UNION ALL SELECT account_id, 'o-' || n / 300, id FROM given WHERE account_id = 2 AND n % 7 = 0
    UNION ALL SELECT account_id, 'poll', id FROM given WHERE type = 'viber_survey' AND account_id < 4
    """,
    """
    INSERT INTO survey_answer
    SELECT account_id, id, 0, 'counted', n % 3, (ARRAY['Yes', 'No', 'Maybe'])[n % 3 + 1], 'viber_bot', 'viber_bot.2',
        at_ms + 60000 FROM given WHERE type = 'viber_survey' AND account_id < 4 AND n % 2 = 1
    """,
    """
    INSERT INTO webhook (account_id, id, url, format, secrets, batch_max, is_enabled, created_at_ms)
    SELECT one, 'wh_' || lpad(to_hex(one), 31, '0') || place, 'https://shop' || one || '.example/hook/' || place,
        'standard', '[]', 1, FALSE, 0
    FROM generate_series(1, 6) AS one, generate_series(0, 1) AS place WHERE place = 0 OR one = 1
    """,
    """
    INSERT INTO event
    SELECT account_id, 'msg_' || lpad(to_hex(at_ms + 2000), 12, '0') || '7' || substr(md5(n::text), 1, 19), id,
        'message.' || status, convert_to('{{"type":"message.' || status || '","timestamp":"2026-11-23T09:30:00.123Z",'
            || '"data":{{"messageId":"' || encode(id, 'hex') || '","trackinId":"order-' || n || '","deliverystatus":"'
            || status || '","channel":"sms","deliveredVia":"sms","cost":0.05,"confirmed":true}}}}', 'UTF8'),
        at_ms + 2000
    FROM given WHERE account_id <= 6 AND NOT is_queued ORDER BY n
    """,
    """
    INSERT INTO delivery (account_id, webhook_id, event_id, message_id, state, due_at_ms, tries, fence, tried_at_ms,
        duration_ms, http_status, answer)
    SELECT event.account_id, webhook.id, event.id, message_id, state, event.created_at_ms + 8640000000, 1, 1,
        event.created_at_ms, 12, CASE state WHEN 'delivered' THEN 200 ELSE 500 END, 'ok'
    FROM event JOIN webhook ON webhook.account_id = event.account_id CROSS JOIN LATERAL (
        SELECT CASE event.created_at_ms / 7 % 1000 WHEN 500 THEN 'pending' WHEN 3 THEN 'failed' ELSE 'delivered' END)
        AS known (state)
    ORDER BY event.created_at_ms
    """,
    """
    INSERT INTO opt_out
    SELECT one, '+38050' || lpad((n * 3)::text, 7, '0'), 'viber_bot.2', {now_ms} - n
    FROM generate_series(1, 3) AS one, generate_series(0, {count} / 50) AS n
    """,
    """
    INSERT INTO console_audit (at_ms, who, host, action, account_id, object)
    SELECT {now_ms} - n, 'bench', '127.0.0.1', 'message_cancelled', n % {accounts} + 1, 'x'
    FROM generate_series(1, {count} / 10) AS n
    """,
    """
    CREATE TEMP TABLE counted (kind, channel, detail) AS VALUES ('accepted', '', 'promo'),
        ('accepted', '', 'transaction'), ('finished', 'sms', 'delivered'), ('finished', 'viber_bot', 'delivered'),
        ('finished', '', 'undeliverable'), ('mark', 'viber_bot', 'skipped:not_subscribed'),
        ('mark', 'sms', 'accepted'), ('mark', 'sms', 'failed:expired'), ('flow', '', 'viber_bot'),
        ('flow', 'viber_bot', 'sms'), ('flow', 'viber_bot', 'delivered'), ('flow', 'sms', 'delivered'),
        ('cost', 'sms', ''), ('cost', 'viber_bot', ''), ('by_sms', '', ''), ('instead', '', ''),
        ('delay', 'sms', '1'), ('delay', 'sms', '2'), ('delay', 'viber_bot', '1'), ('delay', 'viber_bot', '2')
    """,
    """
    INSERT INTO statistic SELECT one, hour * 3600000::bigint, counted.*, 100, 5000000
    FROM generate_series(0, {accounts}) AS one, counted,
        generate_series({now_ms} / 3600000 - 8 * 24, {now_ms} / 3600000) AS hour
    """,
    """
    INSERT INTO statistic_day SELECT one, day * 86400000::bigint, counted.*, 2400, 120000000
    FROM generate_series(0, {accounts}) AS one, counted,
        generate_series({now_ms} / 86400000 - {days}, {now_ms} / 86400000) AS day
    """,
    "VACUUM ANALYZE",
    "CHECKPOINT",
)


class Sample(NamedTuple):
    """What the pages are asked about: of account 1, some way back."""

    message_id: str
    phone: str
    tracking_id: str
    middle_id: str
    event_id: str


def of_console(one: Sample) -> dict[str, str]:
    """Pages by what they are called."""
    list_, phone = "/messages?span=ever", one.phone.replace("+", "%2B")
    hook = f"/webhooks/1/{HOOK}0"
    return {
        **{f"overview of the {period}": f"/?period={period}" for period in ("hour", "day", "week", "month")},
        "messages": "/messages",
        "messages of one account": "/messages?account=1",
        "messages, a page in the middle": f"{list_}&before={one.middle_id}",
        "messages by id": f"/messages?q={one.message_id}",
        "messages by phone, a week": f"/messages?q={phone}",
        "messages by phone, ever": f"{list_}&q={phone}",
        "messages by phone, ever, one account": f"{list_}&q={phone}&account=1",
        "messages by tracking id, ever": f"{list_}&q={one.tracking_id}",
        "messages by tag, ever": f"{list_}&tag={BIG}",
        "messages by a status that one in 11 has": f"{list_}&status=undeliverable",
        "messages by a status that one in 1,000 has": f"{list_}&status=permanenterror",
        "messages by a channel that nobody has": f"{list_}&channel=rcs",
        "one message": f"/messages/1/{one.message_id}",
        "campaigns": "/campaigns",
        "campaigns, a row": "/campaigns/1/row/week-20",
        "campaign of a fifth of all": f"/campaigns/1/show/{BIG}",
        "surveys": "/surveys",
        "survey": "/surveys/1/show/poll",
        "opt-outs": "/opt-outs",
        "webhooks": "/webhooks",
        "webhook": hook,
        "webhook, a page in the middle": f"{hook}?before={one.event_id}",
        **{f"webhook, {state}": f"{hook}?state={state}" for state in ("pending", "delivered", "failed")},
        "webhook, of one message": f"{hook}?message={one.message_id}",
        **{path[1:]: path for path in ("/accounts", "/accounts/1", "/setup", "/send", "/me", "/users", "/audit")},
        "audit, a page in the middle": "/audit?before=1000",
        "export of a 60th of all": "/messages/export?account=1&tag=week-20&span=ever",
        "export of a fifth of all": f"/messages/export?account=1&tag={BIG}&span=ever",
    }


def of_api(one: Sample, since: str) -> dict[str, str]:
    """Doors, for account 1."""
    list_, phone = "/v1/messages", one.phone.replace("+", "%2B")
    sums, told = f"/v1/statistics?from={since}", f"/v1/webhooks/{HOOK}0/deliveries"
    return {
        list_: list_,
        f"{list_} by phone": f"{list_}?phone={phone}",
        f"{list_} by tracking id": f"{list_}?trackinId={one.tracking_id}",
        f"{list_} by tag": f"{list_}?tag={BIG}",
        f"{list_} by a status that one in 1,000 has": f"{list_}?status=permanenterror",
        f"{list_} by a channel that nobody has": f"{list_}?channel=rcs",
        f"{list_}/…": f"{list_}/{one.message_id}",
        "/bat/message/…": f"/bat/message/{one.message_id}",
        "/v1/statistics of a week": "/v1/statistics",
        "/v1/statistics of 30 days by channel and status": f"{sums}&by=channel&by=status",
        "/v1/statistics of 30 days by tag": f"{sums}&by=tag",
        "/v1/statistics of a fifth of all": f"{sums}&tag={BIG}&by=channel&by=status",
        **{path: path for path in ("/v1/surveys/poll", "/v1/opt-outs", "/v1/channels", "/v1/webhooks")},
        told: told,
        f"{told}, a page in the middle": f"{told}?cursor={one.event_id}",
        f"{told}, failed": f"{told}?state=failed",
        f"{told}, of one message": f"{told}?messageId={one.message_id}",
    }


async def fill(url: str, count: int) -> Sample:
    """The store has its tables and its accounts."""
    connection = await asyncpg.connect(url)
    known = {"count": count, "accounts": ACCOUNTS, "days": DAYS, "now_ms": f"{now_ms()}::bigint", "big": BIG}
    for statement in FILL:
        await connection.execute(statement.format(**known))
    one = (
        "SELECT id, phone, tracking_id FROM message WHERE account_id = 1 AND state = 'final' ORDER BY id DESC OFFSET $1"
    )
    id_, phone, tracking_id = await connection.fetchrow(one, count // 50)
    middle = "SELECT id FROM {} WHERE account_id = 1 ORDER BY id OFFSET $1 LIMIT 1"
    middle_id = await connection.fetchval(middle.format("message"), count // 4)
    event_id = await connection.fetchval(middle.format("event"), count // 4)
    await connection.close()
    return Sample(str(uuid.UUID(bytes=id_)), phone, tracking_id, str(uuid.UUID(bytes=middle_id)), event_id)


async def ask(gateway: Gateway, sample: Sample) -> dict[str, tuple[float, float]]:
    """Of each page the first time and the quickest of the next ones, in ms."""
    since = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - DAYS * 86_400))
    found = {}
    async with ClientSession(gateway.url, cookie_jar=CookieJar(unsafe=True)) as session:
        await sign_in(session)
        key: Mapping[str, str] = {"X-Authorization-Key": gateway.key}
        pages = [(f"/console: {name}", f"/console{path}", NO_KEY) for name, path in of_console(sample).items()]
        doors = [(name, path, key) for name, path in of_api(sample, since).items()]
        for name, path, headers in pages + doors:
            first, *others = [await timed(session, path, headers) for _ in range(TIMES)]
            found[name] = (first, min(others))
    return found


async def sign_in(session: ClientSession) -> None:
    async with session.get("/console/sign-in") as form:
        token = re.search(r'name="csrf" value="([^"]+)"', await form.text())
    assert token is not None
    given = {"csrf": token[1], "name": USER, "password": PASSWORD}
    async with session.post("/console/sign-in", data=given, headers={"Sec-Fetch-Site": "same-origin"}) as answer:
        assert answer.ok


async def timed(session: ClientSession, path: str, headers: Mapping[str, str]) -> float:
    """In ms, until all of it is there."""
    begun_s = time.perf_counter()
    async with session.get(path, headers=headers, allow_redirects=False) as answer:
        body = await answer.read()
    assert answer.status == 200, (path, answer.status, body[:200])
    return (time.perf_counter() - begun_s) * 1_000


async def measure(url: str, home: Path, count: int) -> dict[str, tuple[float, float]]:
    """Fill an empty database, start a gateway on it, and ask for all of its pages."""
    gateway = Gateway(home, '[log]\nlevel = "warning"\n', store_url=url, seal=Fernet.generate_key().decode())
    await gateway.prepare({})
    for number in range(2, ACCOUNTS + 1):
        await gateway.add_account(f"account-{number}")
    database = engines.database(url, 1)
    await database.open(owner=False)
    async with database.transaction() as tx:
        await console.add_user(tx, USER, await hash_password(PASSWORD), Role.ADMIN, now_ms())
    await database.close()
    sample = await fill(url, count)
    await gateway.start()
    try:
        return await ask(gateway, sample)
    finally:
        await gateway.kill()


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="cascade-pages-") as home:
        postgres = Postgres(Path(home) / "postgres.log")
        await postgres.prepare()
        try:
            await postgres.start()
            found = await measure(postgres.url, Path(home) / "gateway", count)
        finally:
            await postgres.stop()
    for name, (first, best) in found.items():
        print(json.dumps({"figure": name, "first": round(first, 1), "value": round(best, 1), "unit": "ms"}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.pages")
    parser.add_argument("--messages", type=int, default=1_000_000)
    asyncio.run(main(parser.parse_args().messages))
