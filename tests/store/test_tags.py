"""Tags as campaigns: which there are, and how far the messages of one are; and what else the console looks up."""

from cryptography.fernet import Fernet

from cascade.core.message import State, Status
from cascade.core.secret import Secret
from cascade.store import queries, tags, webhooks
from cascade.store.accounts import Seal
from cascade.store.database import Database
from cascade.store.messages import Change
from cascade.store.queries import Backlog
from cascade.store.tags import Progress, Spent, Tagged

from .given import ROUTE, T0, add, change, key, load, new, queued, urgent


async def test_tags_are_listed_from_the_newest_message_on(database: Database) -> None:
    tagged = {"autumn": (1, 4), "winter": (2, 6), "summer": (3,), "other's": (9,)}
    async with database.transaction() as tx:
        for tag, numbers in tagged.items():
            account_id = 2 if tag == "other's" else 1
            await tags.add(tx, [Tagged(account_id, tag, key(number).id) for number in numbers])
        assert await tags.listed(tx, 1, 10) == [("winter", key(6).id), ("autumn", key(4).id), ("summer", key(3).id)]
        assert [tag for tag, _ in await tags.listed(tx, 1, 2)] == ["winter", "autumn"]
        assert await tags.listed(tx, 3, 10) == []


async def test_progress_counts_what_became_of_a_tags_messages(database: Database) -> None:
    await add(database, *(new(number) for number in range(5)))
    async with database.transaction() as tx:
        await tags.add(tx, [Tagged(1, "sale", key(number).id) for number in range(4)])
    for number in (0, 1):
        stored = await load(database, number)
        done = stored.message._replace(
            state=State.FINAL, status=Status.DELIVERED, attempt=1, delivered_step=0, cost_micros=50_000
        )
        await change(database, Change(stored, done, [], T0))
    stored = await load(database, 2)
    lost = stored.message._replace(state=State.FINAL, status=Status.UNDELIVERABLE, attempt=1, cost_micros=50_000)
    await change(database, Change(stored, lost, [], T0))
    async with database.reading() as reader:
        found = await tags.progress(reader, 1, "sale")
        assert found == Progress(
            messages=4,
            by_status={Status.DELIVERED: 2, Status.UNDELIVERABLE: 1, Status.PROCESSING: 1},
            by_channel={"sms": Spent(2, 100_000)},
            to_nobody=Spent(1, 50_000),
            under_way=Spent(1, 0),
            cost_micros=150_000,
            first_at_ms=T0,
            not_begun=1,
        )
        assert found.finished == 3
        assert await tags.progress(reader, 1, "nothing") is None


# What became of each message: its status, the step that delivered it, what it was charged in all.
SPENT: dict[str, list[tuple[Status, int | None, int]]] = {
    "delivered at once": [(Status.DELIVERED, 0, 70_000), (Status.DELIVERED, 0, 70_000)],
    "by the last, after the first was charged": [(Status.DELIVERED, 1, 570_000)],
    "by nobody, charged or not": [(Status.UNDELIVERABLE, None, 570_000), (Status.PERMANENT_ERROR, None, 0)],
    "arrived, and not read yet": [(Status.PROCESSING, 0, 70_000)],
    "on its way": [(Status.PROCESSING, None, 70_000)],
}


async def test_a_cost_stands_with_the_channel_that_delivered_whatever_others_were_charged(database: Database) -> None:
    became = [one for several in SPENT.values() for one in several]
    await add(database, *(new(number, queued(route=ROUTE)) for number in range(len(became))))
    async with database.transaction() as tx:
        await tags.add(tx, [Tagged(1, "sale", key(number).id) for number in range(len(became))])
    for number, (status, step, micros) in enumerate(became):
        stored = await load(database, number)
        state = State.WAITING if status is Status.PROCESSING else State.FINAL
        after = stored.message._replace(state=state, status=status, attempt=1, delivered_step=step, cost_micros=micros)
        await change(database, Change(stored, after, [], T0))
    async with database.reading() as reader:
        found = await tags.progress(reader, 1, "sale")
    assert found is not None
    assert found.by_channel == {"viber_bot": Spent(3, 210_000), "sms": Spent(1, 570_000)}
    assert (found.to_nobody, found.under_way) == (Spent(2, 570_000), Spent(1, 70_000))
    parts = [*found.by_channel.values(), found.to_nobody, found.under_way]
    assert (sum(one.messages for one in parts), sum(one.cost_micros for one in parts)) == (7, found.cost_micros)


async def test_backlogs_are_those_of_all_accounts(database: Database) -> None:
    await add(database, new(1), new(2, queued(due_at_ms=T0 + 5)), new(3, urgent()), new(4, account_id=2))
    async with database.reading() as reader:
        assert await queries.backlogs(reader) == [
            Backlog(1, "sms.smpp", False, 2, T0),
            Backlog(1, "sms.smpp", True, 1, T0),
            Backlog(2, "sms.smpp", False, 1, T0),
        ]


async def test_what_a_message_said_is_read_again(database: Database) -> None:
    await add(database, new(1))
    async with database.reading() as reader:
        assert await queries.said(reader, *key(1)) == ("text 1", None)
        assert await queries.said(reader, *key(2)) is None


async def test_webhooks_are_counted_by_how_they_do(database: Database) -> None:
    seal = Seal([Secret(Fernet.generate_key().decode())])
    hooks = [webhooks.new(1, f"https://shop.example/{number}", seal, T0)[0] for number in range(4)]
    async with database.transaction() as tx:
        for hook in hooks:
            await webhooks.add(tx, hook)
        await webhooks.failed(tx, *hooks[0].key, T0)
        await webhooks.disable(tx, *hooks[1].key, "tired of it", T0)
        assert await webhooks.states(tx) == {"working": 2, "failing": 1, "disabled": 1}
