"""The tables, as SQLite has them. `PRAGMA user_version` counts the migrations that a file has seen.

`account_id` leads every key, so that the tables can be distributed by account. The two partial indexes hold only what
is alive: a table of ten million finished messages costs the queue nothing.
"""

MIGRATIONS = (
    """
    CREATE TABLE account (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created_at_ms INTEGER NOT NULL
    );
    CREATE TABLE api_key (
        digest BLOB PRIMARY KEY,
        account_id INTEGER NOT NULL REFERENCES account (id),
        name TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE bot (
        id INTEGER PRIMARY KEY,
        account_id INTEGER NOT NULL REFERENCES account (id),
        channel TEXT NOT NULL,
        token_digest BLOB NOT NULL,
        sealed_token BLOB NOT NULL,
        created_at_ms INTEGER NOT NULL,
        UNIQUE (channel, token_digest)
    );
    CREATE TABLE subscriber (
        account_id INTEGER NOT NULL,
        link TEXT NOT NULL,
        phone TEXT NOT NULL,
        address TEXT NOT NULL,
        profile TEXT NOT NULL,
        updated_at_ms INTEGER NOT NULL,
        PRIMARY KEY (account_id, link, phone)
    ) WITHOUT ROWID;
    CREATE TABLE directory_version (version INTEGER NOT NULL);
    INSERT INTO directory_version VALUES (0);

    CREATE TABLE message (
        account_id INTEGER NOT NULL,
        id BLOB NOT NULL,
        tracking_id TEXT NOT NULL,
        sender TEXT NOT NULL,
        phone TEXT NOT NULL,
        type TEXT NOT NULL,
        is_urgent INTEGER NOT NULL,
        text TEXT NOT NULL,
        extras TEXT,
        route TEXT NOT NULL,
        accepted_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        state TEXT NOT NULL,
        status TEXT NOT NULL,
        step INTEGER NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 0,
        tries INTEGER NOT NULL DEFAULT 0,
        link TEXT,
        address TEXT,
        due_at_ms INTEGER NOT NULL,
        deadline_at_ms INTEGER,
        step_ends_at_ms INTEGER NOT NULL,
        fence INTEGER NOT NULL DEFAULT 0,
        delivered_step INTEGER,
        delivered TEXT NOT NULL DEFAULT '',
        is_read INTEGER NOT NULL DEFAULT 0,
        open_parts TEXT NOT NULL DEFAULT '',
        finished_at_ms INTEGER,
        timeline TEXT NOT NULL
    );
    CREATE UNIQUE INDEX message_by_id ON message (account_id, id);
    CREATE INDEX message_queue ON message (account_id, link, is_urgent, due_at_ms) WHERE state = 'queued';
    CREATE INDEX message_deadline ON message (deadline_at_ms) WHERE deadline_at_ms IS NOT NULL;

    CREATE TABLE sent_part (
        link TEXT NOT NULL,
        provider_id TEXT NOT NULL,
        account_id INTEGER NOT NULL,
        message_id BLOB NOT NULL,
        attempt INTEGER NOT NULL,
        step INTEGER NOT NULL,
        part INTEGER NOT NULL,
        PRIMARY KEY (link, provider_id)
    ) WITHOUT ROWID;
    CREATE TABLE receipt (
        id INTEGER PRIMARY KEY,
        link TEXT NOT NULL,
        provider_id TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        detail TEXT,
        recipient TEXT,
        at_ms INTEGER,
        received_at_ms INTEGER NOT NULL,
        due_at_ms INTEGER NOT NULL
    );
    CREATE INDEX receipt_due ON receipt (due_at_ms);
    CREATE TABLE lost_answer (
        link TEXT NOT NULL,
        recipient TEXT NOT NULL,
        account_id INTEGER NOT NULL,
        message_id BLOB NOT NULL,
        attempt INTEGER NOT NULL,
        step INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (link, recipient, message_id, attempt)
    ) WITHOUT ROWID;
    """,
)
