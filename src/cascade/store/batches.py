"""Numbers for accepted batches: whole and small, no two alike, whichever node took the batch."""

import asyncio

from cascade.store.database import Database

BLOCK = 1_000
TAKE = "UPDATE batch_number SET taken = taken + ? RETURNING taken"


class BatchNumbers:
    """A process takes them from the store by the block, so that a batch costs no statement. A restart leaves a gap."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()
        self._last = 0
        self._end = 0

    async def take(self) -> int:
        """The next number, from 1. A transaction of its own when a block begins: call it outside of one."""
        async with self._turn:
            if self._last == self._end:
                async with self._database.transaction() as tx:
                    rows = await tx.rows(TAKE, (BLOCK,))
                # Only once it is committed: what a failed commit takes back, another node may take.
                self._end = rows[0][0]
                self._last = self._end - BLOCK
            self._last += 1
            return self._last
