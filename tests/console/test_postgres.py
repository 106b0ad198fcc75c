"""The pages on PostgreSQL: each asks its own questions of the store."""

from pathlib import Path

from api.doors import opened
from cascade.settings import Secrets, Store
from cascade.store import webhooks

from .visits import ODD, PAGES, Visits, users_added


async def test_every_page_answers_on_postgresql(postgres_url: str, tmp_path: Path) -> None:
    store, secrets = Store(url=postgres_url), Secrets(key_file=str(tmp_path / "cascade.key"))
    async with opened(tmp_path, has_sandbox=True, store=store, secrets=secrets) as doors:
        await users_added(doors.gateway)
        await doors.people(telegram_bot="absent", sms="delivers")
        id_ = await doors.send_one(tags=["sale"], messageType="promo")
        await doors.until(id_, "delivered")
        visits = await Visits(doors).signed_in("admin")
        hook, _ = webhooks.new(1, "http://127.0.0.1:9/hook", visits.parts.seal(), visits.parts.now_ms())
        async with doors.gateway.database.transaction() as tx:
            await webhooks.add(tx, hook)
        paths = [*PAGES, *(f"/?period={period}" for period in ("hour", "week", "month")), f"/messages/1/{id_}"]
        paths += [f"/messages?q={id_}", "/messages?q=%2B380501112233", "/messages?tag=sale&status=delivered"]
        paths += ["/messages/export", "/messages/export?tag=sale"]
        paths += ["/campaigns/1/show/sale", "/campaigns/1/row/sale", f"/webhooks/1/{hook.id}", "/overview/live"]
        paths += [f"/webhooks/1/{hook.id}?message={id_}", f"/webhooks/1/{hook.id}?message={id_}&state=failed"]
        for path in paths:
            page = await visits.get(path)
            assert page.status == 200, path
        for path in [*ODD, f"/webhooks/1/{hook.id}?before=%00&state=x"]:
            assert (await visits.get(path)).status in (200, 404), path
        assert "sale" in (await visits.get("/campaigns")).text
        assert id_ in (await visits.get("/messages?tag=sale")).text
        changed = await visits.change(f"/webhooks/1/{hook.id}/disable")
        assert changed.status == 303
