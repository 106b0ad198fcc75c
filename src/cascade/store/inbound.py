"""What people told us, as it came: stored before the provider is told that we have it, and worked by the engine."""

import json
from collections.abc import Sequence

from cascade.core.inbound import Inbound
from cascade.store.database import Transaction

# A provider repeats a call that it did not see answered: the first one counts.
ADD = """
    INSERT INTO inbound (link, provider_id, kind, address, text, payload, reply_to, phone, profile, received_at_ms,
        due_at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (link, provider_id) DO NOTHING
"""


async def add(tx: Transaction, link: str, came: Sequence[Inbound], now_ms: int) -> None:
    """Put these into the inbox."""
    await tx.many(
        ADD,
        [
            (
                link,
                _storable(one.id),
                one.kind.value,
                _storable(one.address),
                _storable(one.text),
                _storable(one.payload),
                _storable(one.reply_to),
                _storable(one.phone),
                json.dumps(dict(one.profile), ensure_ascii=False),
                now_ms,
                now_ms,
            )
            for one in came
        ],
    )


def _storable(text: str | None) -> str | None:
    """PostgreSQL's texts hold no NUL."""
    return text and text.replace("\0", "")
