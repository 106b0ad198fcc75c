"""The tables, written once for both engines.

`account_id` leads every key of what belongs to an account, so that the tables can be distributed by it. The partial
indexes hold only what is alive: ten million finished messages cost the queue nothing. A change here needs a revision
that brings older stores to it (docs/migrations.md).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.compiler import SQLCompiler

from cascade.store import versions

metadata = MetaData()

# SQLite numbers rows by itself only where the key is spelled INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


def _partly(index: Index, condition: str) -> Index:
    """An index that holds only the rows of `condition`."""
    for options in index.dialect_options["sqlite"], index.dialect_options["postgresql"]:
        options["where"] = text(condition)
    return index


account = Table(
    "account",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at_ms", BigInteger, nullable=False),
    # What sets one account apart; NULL: the configuration's value.
    Column("is_strict", Boolean, nullable=False, server_default=text("FALSE")),
    Column("senders", Text),  # JSON array; NULL: any sender
    Column("send_rate", Integer),
    Column("send_burst", Integer),
    Column("read_rate", Integer),
    Column("read_burst", Integer),
)

api_key = Table(
    "api_key",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("scopes", Text, nullable=False, server_default="send,read,admin"),
    Column("expires_at_ms", BigInteger),
    Column("allowed_networks", Text),  # JSON array of CIDR; NULL: from anywhere
    Column("last_used_at_ms", BigInteger),
    sqlite_with_rowid=False,
)

bot = Table(
    "bot",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("channel", Text, nullable=False),
    Column("token_digest", LargeBinary, nullable=False),
    Column("sealed_token", LargeBinary, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    UniqueConstraint("channel", "token_digest"),
    sqlite_autoincrement=True,  # a link is named by this number: that of a bot which was removed never comes again
)

directory_version = Table("directory_version", metadata, Column("version", BigInteger, nullable=False))

subscriber = Table(
    "subscriber",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("link", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("profile", Text, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("stopped_at_ms", BigInteger),  # since when the person has left or blocked the bot
    PrimaryKeyConstraint("account_id", "link", "phone"),
    Index("subscriber_by_address", "account_id", "link", "address"),
    sqlite_with_rowid=False,
)

# Who wants no more advertising from an account. `link` is where they said so; NULL: the account did.
opt_out = Table(
    "opt_out",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("phone", Text, nullable=False),
    Column("link", Text),
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "phone"),
    sqlite_with_rowid=False,
)

# What people answered. `inbound_id` 0: the answer that counts, of which a message has at most one. Any other is the
# number of what came too late or after it.
survey_answer = Table(
    "survey_answer",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("message_id", LargeBinary, nullable=False),
    Column("inbound_id", BigInteger, nullable=False),
    Column("standing", Text, nullable=False),
    Column("place", Integer, nullable=False),
    Column("option", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("link", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "message_id", "inbound_id"),
    sqlite_with_rowid=False,
)

# A node lives until its lease ends, by the store's clock; a link's owner is the node that serves it, NULL: nobody. On
# PostgreSQL alone: one process owns a SQLite file.
node = Table(
    "node",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("lease_ends_at_ms", BigInteger, nullable=False),
)

link_owner = Table(
    "link_owner",
    metadata,
    Column("link", Text, primary_key=True),
    Column("node_id", BigInteger),
    Column("is_up", Boolean),
    sqlite_with_rowid=False,
)

# What is left of an account's requests, where several nodes take them (api/rates).
request_bucket = Table(
    "request_bucket",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("tokens", Double, nullable=False),
    Column("filled_at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "kind"),
    sqlite_with_rowid=False,
)

message = Table(
    "message",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("id", LargeBinary, nullable=False),
    Column("tracking_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("is_urgent", Boolean, nullable=False),
    Column("text", Text, nullable=False),
    Column("extras", Text),
    Column("route", Text, nullable=False),
    Column("accepted_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("link", Text),
    Column("address", Text),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("deadline_at_ms", BigInteger),
    Column("step_ends_at_ms", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("delivered_step", Integer),
    Column("delivered", Text, nullable=False, server_default=""),
    Column("is_read", Boolean, nullable=False, server_default=text("FALSE")),
    Column("open_parts", Text, nullable=False, server_default=""),
    Column("cost_micros", BigInteger, nullable=False, server_default="0"),
    Column("max_cost_micros", BigInteger),
    Column("finished_at_ms", BigInteger),
    Column("timeline", Text, nullable=False),
    Column("batch_id", BigInteger, nullable=False),
    Column("era", BigInteger, nullable=False),  # store/eras.py
    Column("delivered_by", Text),  # the channel of delivered_step: lists and statistics ask for it
    # The id begins with the time of acceptance, so this is the index of every list by time, too.
    Index("message_by_id", "account_id", "id", unique=True),
    Index("message_by_tracking_id", "account_id", "era", "tracking_id"),
    Index("message_by_phone", "account_id", "era", "phone"),
    _partly(Index("message_queue", "account_id", "link", "is_urgent", "due_at_ms"), "state = 'queued'"),
    _partly(Index("message_deadline", "deadline_at_ms"), "deadline_at_ms IS NOT NULL"),
)

sent_part = Table(
    "sent_part",
    metadata,
    Column("link", Text, nullable=False),
    Column("provider_id", Text, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("message_id", LargeBinary, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("part", Integer, nullable=False),
    PrimaryKeyConstraint("link", "provider_id"),
    sqlite_with_rowid=False,
)

receipt = Table(
    "receipt",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("link", Text, nullable=False),
    Column("provider_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("detail", Text),
    Column("recipient", Text),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Index("receipt_due", "due_at_ms"),
)

# What people told us. A row stays after it was worked, so that a provider's repeat is told; `due_at_ms` NULL: done.
inbound = Table(
    "inbound",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("link", Text, nullable=False),
    Column("provider_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("text", Text),
    Column("payload", Text),
    Column("reply_to", Text),
    Column("phone", Text),
    Column("profile", Text, nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("due_at_ms", BigInteger),
    Index("inbound_by_provider_id", "link", "provider_id", unique=True),
    _partly(Index("inbound_due", "due_at_ms"), "due_at_ms IS NOT NULL"),
)

lost_answer = Table(
    "lost_answer",
    metadata,
    Column("link", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("message_id", LargeBinary, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("parts", Integer, nullable=False, server_default="1"),
    PrimaryKeyConstraint("link", "recipient", "message_id", "attempt"),
    Index("lost_answer_by_time", "at_ms"),
    sqlite_with_rowid=False,
)


# What was sent within the last day, so that a repeat is recognised. PostgreSQL alone uses it: a row for each message.
recent_message = Table(
    "recent_message",
    metadata,
    Column("id", RowId, primary_key=True),  # in the order of at_ms, so that the oldest are found without another index
    Column("account_id", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("message_id", LargeBinary, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("recent_message_by_digest", "account_id", "digest", unique=True),
)

# The same for SQLite alone: a row for each request. Its index is in memory (store/recent.py).
recent_batch = Table(
    "recent_batch",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("account_id", BigInteger, nullable=False),
    Column("digests", LargeBinary, nullable=False),  # 16 bytes for each message, one behind the other
    Column("message_ids", LargeBinary, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

recent_request = Table(
    "recent_request",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("key_digest", LargeBinary, nullable=False),
    Column("body_digest", LargeBinary, nullable=False),
    Column("answer", LargeBinary, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "key_digest"),
    Index("recent_request_by_time", "at_ms"),
    sqlite_with_rowid=False,
)


message_tag = Table(
    "message_tag",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("tag", Text, nullable=False),
    Column("message_id", LargeBinary, nullable=False),
    PrimaryKeyConstraint("account_id", "tag", "message_id"),
    sqlite_with_rowid=False,
)

batch_number = Table("batch_number", metadata, Column("taken", BigInteger, nullable=False))

# Where an account wants to be told of events. `secrets`: JSON array of [sealed secret, when it ends or null], the
# newest first. `types` NULL: all of them; `retry_delays_s` NULL: the configuration's.
webhook = Table(
    "webhook",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("types", Text),
    Column("format", Text, nullable=False),
    Column("secrets", Text, nullable=False),
    Column("batch_max", Integer, nullable=False),
    Column("retry_delays_s", Text),
    Column("is_enabled", Boolean, nullable=False),
    Column("disabled_reason", Text),
    Column("disabled_at_ms", BigInteger),
    Column("failing_since_ms", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "id"),
    sqlite_with_rowid=False,
)

event = Table(
    "event",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("message_id", LargeBinary),
    Column("type", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "id"),
    Index("event_of_message", "account_id", "message_id"),
    sqlite_with_rowid=False,
)

# `due_at_ms` is also the end of the lease while a try is under way; `fence` counts the claims.
delivery = Table(
    "delivery",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("webhook_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("message_id", LargeBinary),
    Column("state", Text, nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("batch_id", Text),
    Column("tried_at_ms", BigInteger),
    Column("duration_ms", Integer),
    Column("http_status", Integer),
    Column("answer", Text),
    Column("error", Text),
    PrimaryKeyConstraint("account_id", "webhook_id", "event_id"),
    _partly(Index("delivery_due", "account_id", "webhook_id", "due_at_ms"), "state = 'pending'"),
    _partly(Index("delivery_of_message", "account_id", "webhook_id", "message_id", "event_id"), "state = 'pending'"),
    _partly(
        Index("delivery_of_batch", "account_id", "webhook_id", "due_at_ms"),
        "state = 'pending' AND batch_id IS NOT NULL",
    ),
    _partly(Index("delivery_failed", "account_id", "webhook_id", "event_id"), "state = 'failed'"),
    sqlite_with_rowid=False,
)

# What a flash call's typed digits are checked against. `caller` NULL: the provider chooses it, and checks. `digits`:
# how many of its last ones make the code. `wrong` counts the tries that did not match; `matched_at_ms` is when one did.
flashcall = Table(
    "flashcall",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("message_id", LargeBinary, nullable=False),
    Column("caller", Text),
    Column("digits", Integer, nullable=False),
    Column("wrong", Integer, nullable=False, server_default="0"),
    Column("matched_at_ms", BigInteger),
    PrimaryKeyConstraint("account_id", "message_id"),
    sqlite_with_rowid=False,
)

# Who was last chosen to call a phone: the next call comes from another.
last_caller = Table(
    "last_caller",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("phone", Text, nullable=False),
    Column("caller", Text, nullable=False),
    PrimaryKeyConstraint("account_id", "phone"),
    sqlite_with_rowid=False,
)

variable = Table(
    "variable",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "type", "id"),
    sqlite_with_rowid=False,
)

# Whoever follows a link shows its code and nothing else: that is its key, and leads to the account.
short_link = Table(
    "short_link",
    metadata,
    Column("code", Text, primary_key=True),
    Column("account_id", BigInteger, nullable=False),
    Column("message_id", LargeBinary, nullable=False),
    Column("target", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("clicks", BigInteger, nullable=False, server_default="0"),
    Column("machine_clicks", BigInteger, nullable=False, server_default="0"),
    Column("first_click_at_ms", BigInteger),
    Column("last_click_at_ms", BigInteger),
    Index("short_link_of_message", "account_id", "message_id"),
    Index("short_link_by_expiry", "expires_at_ms"),
)

# Sums that grow with what happens, so that nobody has to count messages (store/statistics.py). Account 0: all of them.
statistic = Table(
    "statistic",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("hour_ms", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "hour_ms", "kind", "channel", "detail"),
    sqlite_with_rowid=False,
)

# The same by days (UTC): a month of hours is too much to add up while somebody waits.
statistic_day = Table(
    "statistic_day",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("day_ms", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "day_ms", "kind", "channel", "detail"),
    sqlite_with_rowid=False,
)

# The same for the last hours alone, and finer: what the lines of the console are drawn from.
pulse = Table(
    "pulse",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("accepted", BigInteger, nullable=False),
    Column("delivered", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "at_ms"),
    sqlite_with_rowid=False,
)

# Persons to be erased who have messages under way: the rest goes when those have ended.
erasure = Table(
    "erasure",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("phone", Text, nullable=False),
    Column("asked_at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("account_id", "phone"),
    sqlite_with_rowid=False,
)

# The console's own: who may come in, who is in, how often somebody tried in vain, and who did what.
console_user = Table(
    "console_user",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("is_enabled", Boolean, nullable=False, server_default=text("TRUE")),
    Column("created_at_ms", BigInteger, nullable=False),
)

console_session = Table(
    "console_session",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("user_id", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False),
    Column("host", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Index("console_session_of_user", "user_id"),
    sqlite_with_rowid=False,
)

console_throttle = Table(
    "console_throttle",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

console_audit = Table(
    "console_audit",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("account_id", BigInteger),
    Column("object", Text, nullable=False),
)


# Whether PostgreSQL finds what a message has pending by `delivery_of_message`, or walks through all that is pending,
# turns on how much it believes that to be. By itself it looks again after a tenth of the table: hours in a large one.
POSTGRES_SETTINGS = (
    "ALTER TABLE delivery SET (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000)",
)
FIRST_ROWS = ("INSERT INTO directory_version VALUES (0)", "INSERT INTO batch_number VALUES (0)")


@compiles(Text, "postgresql")
def _text_by_bytes(type_: Text, compiler: SQLCompiler, **options: object) -> str:
    """Keys are compared as bytes, as SQLite does; a language's order would also be slower."""
    return 'TEXT COLLATE "C"'


def sqlite_statements() -> list[str]:
    """What makes an empty SQLite file a store of the newest version."""
    dialect = sqlite.dialect()
    return [*_tables(dialect), *_indexes(dialect), *FIRST_ROWS, *versions.statements()]


def postgres_statements() -> list[str]:
    """What makes an empty PostgreSQL database a store of the newest version."""
    return [*postgres_tables(), *postgres_indexes(), *FIRST_ROWS, *versions.statements()]


def postgres_tables() -> list[str]:
    """The tables with their keys, without the other indexes."""
    return [*_tables(postgresql.dialect()), *POSTGRES_SETTINGS]  # type: ignore[no-untyped-call]


def postgres_indexes() -> list[str]:
    return _indexes(postgresql.dialect())  # type: ignore[no-untyped-call]


def _tables(dialect: Dialect) -> list[str]:
    return [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]


def _indexes(dialect: Dialect) -> list[str]:
    indexes = (index for table in metadata.sorted_tables for index in sorted(table.indexes, key=str))
    return [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
