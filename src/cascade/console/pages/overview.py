"""What is going on: the first page."""

from typing import Any, Final, NamedTuple

from starlette.responses import Response

from cascade.console import figures
from cascade.console.charts import Ends, Node, Shown
from cascade.console.charts import flow as draw_flow
from cascade.console.page import Page
from cascade.core.link import LinkHealth, LinkState, Trouble
from cascade.core.words import Channel, Reason
from cascade.store import statistics
from cascade.store.statistics import ALL, DELAYS_MS, HOUR_MS, PULSE_MS

PERIODS_MS: Final = {"hour": HOUR_MS, "day": 24 * HOUR_MS, "week": 7 * 24 * HOUR_MS, "month": 30 * 24 * HOUR_MS}
REFUSALS: Final = {Reason.MISCONFIGURED, Reason.NO_CREDIT}
"""The provider answers, but takes nothing from us until somebody does something about it."""
BY_DAYS: Final = ("week", "month")
LINE_MS: Final = 31 * 60_000


class Link(NamedTuple):
    """A link with its lanes. `health` None: another process serves it, and says at most whether it is up. `oldest_ms`:
    since when the first one waits."""

    name: str
    channel: str
    health: LinkHealth | None
    elsewhere: LinkState | None
    urgent: int
    bulk: int
    oldest_ms: int | None

    @property
    def state(self) -> str:
        if self.health is None:
            return "unknown" if self.elsewhere is None else "up" if self.elsewhere.is_up else "down"
        if self.health.is_open:
            return "open"
        if not self.health.is_up:
            return "down"
        trouble = self.health.trouble
        return "refused" if trouble is not None and trouble.reason in REFUSALS else "up"

    @property
    def trouble(self) -> Trouble | None:
        """Why it is not up; a single attempt that failed says nothing of the link."""
        return None if self.health is None or self.state == "up" else self.health.trouble


async def overview(page: Page) -> Response:
    return page.render("overview.html", **await _figures(page))


async def live(page: Page) -> Response:
    """What the page asks for again and again."""
    return page.render("overview_live.html", **await _figures(page))


async def _figures(page: Page) -> dict[str, Any]:
    now_ms = page.parts.now_ms()
    period = page.request.query_params.get("period", "day")
    period = period if period in PERIODS_MS else "day"
    account_id = ALL if page.account is None else page.account.id
    async with page.parts.database.cold_reading() as reader:
        sums = await statistics.totals(
            reader, account_id, now_ms - PERIODS_MS[period], now_ms + HOUR_MS, by_days=period in BY_DAYS
        )
        pulses = await statistics.pulses(reader, account_id, (now_ms - LINE_MS) // PULSE_MS * PULSE_MS)
    found = figures.of(sums)
    formats = page.formats
    lost = formats.number(sum(one.lost for one in found.channels))
    ends = Ends(page.t("flow.delivered"), page.t("flow.lost"), lost)
    nodes = [
        Node(
            one.channel,
            page.t(f"channel.{one.channel}"),
            one.reached,
            one.delivered,
            one.lost,
            Shown(formats.number(one.reached), formats.number(one.delivered)),
        )
        for one in found.channels
        if one.reached > 0
    ]
    known = {node.name for node in nodes}
    edges = [edge for edge in found.edges if edge.from_ in known and edge.to in known]
    return {
        "period": period,
        "periods": list(PERIODS_MS),
        "figures": found,
        "rates": figures.rates(pulses, now_ms),
        "flow": draw_flow(nodes, edges, ends),
        "links": links(page),
        "delays_ms": DELAYS_MS,
    }


def links(page: Page) -> list[Link]:
    """Those that carry the account's messages, or everybody's."""
    account = page.account
    health = page.parts.link_health()
    states = page.parts.link_states(ALL if account is None else account.id)
    backlogs = [one for one in page.parts.backlogs() if account is None or one.account_id == account.id]
    owned = {bot.link: bot.account_id for bot in page.parts.directory().bots}
    names = {*health, *states, *owned, *(one.link for one in backlogs)}
    order = {channel.value: place for place, channel in enumerate(Channel)}
    found = []
    for name in names:
        if account is not None and owned.get(name, account.id) != account.id:
            continue
        waiting = [one for one in backlogs if one.link == name]
        found.append(
            Link(
                name,
                name.partition(".")[0],
                health.get(name),
                states.get(name),
                sum(one.messages for one in waiting if one.is_urgent),
                sum(one.messages for one in waiting if not one.is_urgent),
                min((one.oldest_due_at_ms for one in waiting), default=None),
            )
        )
    return sorted(found, key=lambda link: (order.get(link.channel, len(order)), link.name))
