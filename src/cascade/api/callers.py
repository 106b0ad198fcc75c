"""Who calls: chosen when a flash call is accepted, so that the answer can say it."""

import secrets
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from cascade.core.content import Variant
from cascade.core.draft import Draft
from cascade.core.flashcalls import FlashcallRules, choose, pattern_of
from cascade.core.plan import Plan
from cascade.core.route import Step
from cascade.core.words import MessageType
from cascade.store import flashcalls
from cascade.store.database import Reader, Transaction
from cascade.store.flashcalls import Flashcall
from cascade.store.messages import Key

Pools = Mapping[str, tuple[str, ...]]
"""By link: the numbers that its calls may come from. A link without any leaves the choice to its provider."""
CALL_STEP: Final = 0
"""A flash call's first step is the call."""


class Called(NamedTuple):
    """`last` is who called each phone last; what is chosen is added to it, to `chosen` and to `calls`."""

    pools: Pools
    rules: FlashcallRules
    last: dict[str, str]
    chosen: dict[str, str]
    calls: list[Flashcall]

    def plan(self, key: Key, draft: Draft, plan: Plan) -> Plan:
        """The plan with its caller, which is the sender of the call's step."""
        step = plan.route[CALL_STEP]
        if step.link is None:
            return plan
        pool = self._pool(step)
        if not pool:
            self.calls.append(Flashcall(key, None, self.rules.digits))
            return plan
        caller = choose(pool, self.last.get(draft.phone), self.rules.digits, secrets.choice)
        self.last[draft.phone] = self.chosen[draft.phone] = caller
        self.calls.append(Flashcall(key, caller, self.rules.digits))
        rest = plan.variants[CALL_STEP + 1 :] if plan.variants else (None,) * (len(plan.route) - 1)
        return plan._replace(variants=(Variant(sender=caller), *rest))

    def _pool(self, step: Step) -> tuple[str, ...]:
        """Numbers that every link of the step may call from, for another may have to stand in; else the first's."""
        own = self.pools.get(step.link or "", ())
        shared = tuple(number for number in own if all(number in self.pools.get(other, ()) for other in step.others))
        return shared or own


async def begin(
    tx: Transaction, account_id: int, pools: Pools, rules: FlashcallRules, drafts: Collection[Draft]
) -> Called | None:
    """What is needed to choose; None when there is no call among the drafts."""
    phones = {draft.phone for draft in drafts if draft.type is MessageType.FLASHCALL}
    if not phones:
        return None
    return Called(pools, rules, await flashcalls.last_callers(tx, account_id, phones), {}, [])


async def end(tx: Transaction, account_id: int, called: Called) -> None:
    """Store what was chosen."""
    await flashcalls.remember_callers(tx, account_id, called.chosen)
    await flashcalls.add(tx, called.calls)


async def shown(
    reader: Reader, account_id: int, rules: FlashcallRules, message_ids: Collection[bytes]
) -> Mapping[bytes, dict[str, str]]:
    """What the account is told of who calls, by message."""
    if not rules.reveals_caller or not message_ids:
        return {}
    found = await flashcalls.find(reader, account_id, message_ids)
    return {id_: told for id_, call in found.items() if (told := tell(call, rules))}


def tell(call: Flashcall, rules: FlashcallRules) -> dict[str, str]:
    """`callerId` and `pattern`, as the public API spells them; nothing when the provider chooses, or they are not to be
    told."""
    if call.caller is None or not rules.reveals_caller:
        return {}
    return {"callerId": call.caller, "pattern": pattern_of(call.caller, call.digits)}
