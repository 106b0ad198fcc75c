"""Lists, look-ups and sums over an account's messages. All of it is for `Database.cold_reading`.

Ids begin with the time of acceptance, so an order by id is an order by time, a span of time is a span of ids, and the
place where a list goes on is one id. A phone or tracking id is looked up in every era (`eras`) of that time. What has
no index (status, channel, type) is checked row by row along the time's index: give it a span of time where the answer
is rare.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from cascade.core.message import Status
from cascade.core.words import Channel, MessageType
from cascade.store.database import Reader, Row, Statement
from cascade.store.eras import ERA_MS
from cascade.store.ids import LATEST_MS, at_ms, first_id

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Filter(NamedTuple):
    """Which of an account's messages; None: any. Accepted at `from_ms` or later, and before `to_ms`."""

    from_ms: int = 0
    to_ms: int = LATEST_MS
    status: Status | None = None
    channel: Channel | None = None
    """The one that delivered."""
    type: MessageType | None = None
    phone: str | None = None
    tracking_id: str | None = None
    tag: str | None = None


class Summary(NamedTuple):
    """One message in a list. `scheduled_at_ms` is None once its hour has come."""

    id: bytes
    tracking_id: str
    batch_id: int
    sender: str
    phone: str
    type: str
    status: str
    channel: str | None
    cost_micros: int
    accepted_at_ms: int
    scheduled_at_ms: int | None
    finished_at_ms: int | None


class Sums(NamedTuple):
    """What one group of messages came to. `at_ms` is when its hour or day began, `group` its value of each dimension
    asked for: None where a message has none (the channel of one that was not delivered)."""

    at_ms: int
    group: tuple[str | None, ...]
    messages: int
    by_status: dict[Status, int]
    cost_micros: int
    doubles: int


class Waiting(NamedTuple):
    """A lane's messages that wait to be sent. `oldest_due_at_ms` is since when the first of them could have been."""

    link: str
    is_urgent: bool
    messages: int
    oldest_due_at_ms: int


class Backlog(NamedTuple):
    """One lane's messages that wait to be sent, of whichever account."""

    account_id: int
    link: str
    is_urgent: bool
    messages: int
    oldest_due_at_ms: int


class DirectoryEntry(NamedTuple):
    """One line of a bot's directory. `profile` is JSON; `stopped_at_ms` is since when the person has left the bot."""

    link: str
    phone: str
    address: str
    profile: str
    updated_at_ms: int
    stopped_at_ms: int | None = None


COLUMNS = """message.id, message.tracking_id, message.batch_id, message.sender, message.phone, message.type,
    message.status, message.delivered_by, message.cost_micros, message.accepted_at_ms,
    CASE WHEN message.state = 'scheduled' THEN message.due_at_ms END, message.finished_at_ms"""
BY_IDS = f"SELECT {COLUMNS} FROM message WHERE account_id = ? AND id IN (*)"  # noqa: S608 - constants only
# A step back in the index for each era, from one bound to the other.
ERAS = """
    WITH RECURSIVE present (era) AS (
        SELECT max(era) FROM message WHERE account_id = ? AND era <= ?
        UNION ALL
        SELECT (SELECT max(era) FROM message WHERE account_id = ? AND era < present.era)
        FROM present WHERE present.era > ?)
"""
ERA_BY_ERA, OF_ERA = "present CROSS JOIN message", "message.era = present.era"
ERAS_OF = f"{ERAS} SELECT era FROM present WHERE era IS NOT NULL"  # noqa: S608
# Of each tracking id the newest alone: thousands of messages may share it. By the time and not by the id alone: to look
# for a single one SQLite would take the index of ids.
NEWEST = f"""
    SELECT * FROM (
        SELECT {COLUMNS}, row_number() OVER (PARTITION BY tracking_id ORDER BY accepted_at_ms DESC, id DESC) AS place
        FROM message WHERE account_id = ? AND era {{of_eras}} AND tracking_id IN (*)) AS found
    WHERE place = 1
"""  # noqa: S608
# The eras are one text, as SQLite has no arrays. PostgreSQL must see how many they are: of a few it believes that they
# hold next to nothing, and reads them from end to end by the index of phones.
BY_TRACKING_IDS = Statement(
    sqlite=NEWEST.format(of_eras="IN (SELECT value FROM json_each('[' || ? || ']'))"),
    postgres=NEWEST.format(of_eras="= ANY(string_to_array(?, ',')::bigint[])"),
)
LANES = """
    SELECT link, is_urgent, count(*), min(due_at_ms) FROM message
    WHERE account_id = ? AND state = 'queued' GROUP BY link, is_urgent ORDER BY link, is_urgent
"""
BACKLOGS = """
    SELECT account_id, link, is_urgent, count(*), min(due_at_ms) FROM message
    WHERE state = 'queued' GROUP BY account_id, link, is_urgent ORDER BY account_id, link, is_urgent
"""
SUBSCRIBERS = """
    SELECT link, phone, address, profile, updated_at_ms, stopped_at_ms FROM subscriber
    WHERE account_id = ? AND link = ? AND phone > ? ORDER BY phone LIMIT ?
"""
SUBSCRIBER = """
    SELECT link, phone, address, profile, updated_at_ms, stopped_at_ms FROM subscriber
    WHERE account_id = ? AND link = ? AND phone = ? AND phone > ? LIMIT ?
"""
DIMENSIONS = {
    "channel": "message.delivered_by",
    "status": "message.status",
    "type": "message.type",
    "tag": "tagged.tag",
}
# An attempt that arrived after another had is a comma in `delivered`.
STATUS_SUMS = ", ".join(f"sum(CASE WHEN message.status = '{status.value}' THEN 1 ELSE 0 END)" for status in Status)
SUMS = f"""count(*), {STATUS_SUMS}, sum(message.cost_micros),
    sum(length(message.delivered) - length(replace(message.delivered, ',', '')))"""


async def find(reader: Reader, account_id: int, wanted: Filter, before_id: bytes | None, limit: int) -> list[Summary]:
    """Up to `limit` messages, the newest first; of those before `before_id` where it is given."""
    statement, parameters = find_statement(account_id, wanted, before_id, limit)
    return [Summary(*row) for row in await reader.rows(statement, parameters)]


def find_statement(account_id: int, wanted: Filter, before_id: bytes | None, limit: int) -> tuple[Statement, list[Any]]:
    end = first_id(wanted.to_ms)
    end = end if before_id is None else min(end, before_id)
    before, tables, conditions, parameters = _source(account_id, wanted, end, is_tagged=wanted.tag is not None)
    id_ = "message.id" if wanted.tag is None else "tagged.message_id"
    statement = f"{before} SELECT {COLUMNS} FROM {tables} WHERE {conditions} ORDER BY {id_} DESC LIMIT ?"  # noqa: S608
    return _of_each_engine(statement), [*parameters, limit]


async def by_ids(reader: Reader, account_id: int, ids: Sequence[bytes]) -> dict[bytes, Summary]:
    """The account's messages among `ids`."""
    return {row[0]: Summary(*row) for row in await reader.rows(BY_IDS, (account_id, ids))}


async def by_tracking_ids(reader: Reader, account_id: int, tracking_ids: Sequence[str]) -> dict[str, Summary]:
    """The newest message of each of these tracking ids."""
    found: dict[str, Summary] = {}
    eras = [era for (era,) in await reader.rows(ERAS_OF, (account_id, LATEST_MS, account_id, 0))]
    done = 0
    # The newest era, then two, four, eight: what is new is found at once, what is old in few statements.
    while some := eras[done : 2 * done + 1]:
        # Eras of several processes overlap: one that began a little earlier may hold a newer message.
        open_ = [one for one in tracking_ids if one not in found or found[one].accepted_at_ms < some[0] + ERA_MS]
        if not open_:
            break
        for *row, _ in await reader.rows(BY_TRACKING_IDS, (account_id, ",".join(map(str, some)), open_)):
            summary = Summary(*row)
            known = found.get(summary.tracking_id)
            if known is None or known.id < summary.id:
                found[summary.tracking_id] = summary
        done += len(some)
    return found


async def sums(
    reader: Reader, account_id: int, wanted: Filter, *, interval_ms: int, by: Sequence[str], limit: int
) -> list[Sums]:
    """The messages in groups: one for each hour or day (`interval_ms`, in UTC) and value of the `by` `DIMENSIONS`.

    By tag, a message counts once under each of its tags, and one without a tag not at all.
    """
    statement, parameters = sums_statement(account_id, wanted, interval_ms=interval_ms, by=by, limit=limit)
    return [_sums(row, len(by)) for row in await reader.rows(statement, parameters)]


def sums_statement(
    account_id: int, wanted: Filter, *, interval_ms: int, by: Sequence[str], limit: int
) -> tuple[Statement, list[Any]]:
    is_tagged = wanted.tag is not None or "tag" in by
    before, tables, conditions, parameters = _source(account_id, wanted, first_id(wanted.to_ms), is_tagged=is_tagged)
    begins = f"message.accepted_at_ms / {interval_ms:d} * {interval_ms:d}"
    groups = ", ".join(str(place) for place in range(1, len(by) + 2))
    order = ", ".join(f"{place} NULLS FIRST" for place in range(1, len(by) + 2))
    statement = (
        f"{before} SELECT {', '.join([begins, *(DIMENSIONS[name] for name in by)])}, {SUMS} "  # noqa: S608
        f"FROM {tables} WHERE {conditions} GROUP BY {groups} ORDER BY {order} LIMIT ?"
    )
    return _of_each_engine(statement), [*parameters, limit]


async def waiting(reader: Reader, account_id: int) -> list[Waiting]:
    """The account's lanes that hold a message."""
    return [
        Waiting(link, bool(is_urgent), messages, oldest_due_at_ms)
        for link, is_urgent, messages, oldest_due_at_ms in await reader.rows(LANES, (account_id,))
    ]


async def said(reader: Reader, account_id: int, id_: bytes) -> tuple[str, str | None] | None:
    """A message's text and the rest of its content, as `content.for_step` reads them."""
    rows = await reader.rows("SELECT text, extras FROM message WHERE account_id = ? AND id = ?", (account_id, id_))
    return (rows[0][0], rows[0][1]) if rows else None


async def backlogs(reader: Reader) -> list[Backlog]:
    """The lanes of all accounts that hold a message."""
    return [
        Backlog(account_id, link, bool(is_urgent), messages, oldest_due_at_ms)
        for account_id, link, is_urgent, messages, oldest_due_at_ms in await reader.rows(BACKLOGS)
    ]


async def subscribers(
    reader: Reader,
    account_id: int,
    links: Sequence[str],
    phone: str | None,
    after: tuple[str, str] | None,
    limit: int,
) -> list[DirectoryEntry]:
    """Up to `limit` entries of the bots' directories, in the order of `links` (ascending) and then by phone; of those
    behind the (link, phone) of `after` where it is given."""
    found: list[DirectoryEntry] = []
    for link in links:
        after_phone = ""
        if after is not None and link <= after[0]:
            if link < after[0]:
                continue
            after_phone = after[1]
        statement, key = (SUBSCRIBERS, (link,)) if phone is None else (SUBSCRIBER, (link, phone))
        rows = await reader.rows(statement, (account_id, *key, after_phone, limit - len(found)))
        found += [DirectoryEntry(*row) for row in rows]
        if len(found) == limit:
            break
    return found


class Source(NamedTuple):
    """Where the rows come from: what stands before SELECT, behind FROM and behind WHERE, and the parameters."""

    before: str
    tables: str
    conditions: str
    parameters: list[Any]


def _source(account_id: int, wanted: Filter, end: bytes, *, is_tagged: bool) -> Source:
    """The messages wanted whose ids lie below `end`, by way of the index that leads to the fewest.

    CROSS JOIN, so that SQLite begins with what stands first: from a message there is no index to its tags.
    """
    before, tables, parameters = "", "message", []
    chosen: list[tuple[str, *tuple[Any, ...]]] = [("message.account_id = ?", account_id)]
    if is_tagged:
        tables = "message_tag AS tagged CROSS JOIN message"
        chosen += [
            ("message.id = tagged.message_id AND tagged.account_id = ?", account_id),
            ("tagged.message_id >= ? AND tagged.message_id < ?", first_id(wanted.from_ms), end),
        ]
    elif wanted.phone is not None or wanted.tracking_id is not None:
        before, tables = ERAS, ERA_BY_ERA
        parameters = [account_id, at_ms(end), account_id, wanted.from_ms - ERA_MS]
        chosen += [
            (OF_ERA,),
            # By the time and not by the id alone: SQLite would take the index of ids, and not that of the phones.
            ("message.accepted_at_ms >= ?", wanted.from_ms),
            ("(message.accepted_at_ms, message.id) < (?, ?)", at_ms(end), end),
        ]
    else:
        chosen.append(("message.id >= ? AND message.id < ?", first_id(wanted.from_ms), end))
    for column, value in (
        ("tagged.tag", wanted.tag),
        ("message.phone", wanted.phone),
        ("message.tracking_id", wanted.tracking_id),
        ("message.status", wanted.status and wanted.status.value),
        ("message.delivered_by", wanted.channel and wanted.channel.value),
        ("message.type", wanted.type and wanted.type.value),
    ):
        if value is not None:
            chosen.append((f"{column} = ?", value))
    conditions = " AND ".join(condition for condition, *_ in chosen)
    return Source(before, tables, conditions, parameters + [value for _, *values in chosen for value in values])


def _of_each_engine(statement: str) -> Statement:
    """PostgreSQL is given the eras as one list. Era by era it believes that a small account has one message in each (it
    does not know that an era is one account's), and would as soon look for a phone by the index of tracking ids."""
    at_once = statement.replace(ERA_BY_ERA, "message").replace(
        OF_ERA, "message.era = ANY(ARRAY(SELECT era FROM present))"
    )
    return Statement(statement, at_once)


def _sums(row: Row, dimensions: int) -> Sums:
    at_ms, *rest = row
    group, (messages, *by_status, cost_micros, doubles) = rest[:dimensions], rest[dimensions:]
    counts = {status: int(number) for status, number in zip(Status, by_status, strict=True)}
    return Sums(at_ms, tuple(group), messages, counts, int(cost_micros), int(doubles))
