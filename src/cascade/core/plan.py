"""The way a new message will take: its route with links and prices, what each step says, and where it begins.

Most messages of a batch go the same way and say the same, so whatever depends on nothing else is worked out once.
"""

from collections.abc import Iterable, Mapping
from math import lcm
from typing import NamedTuple

from cascade.core.content import Variant, varied
from cascade.core.directory import Links, PlannedStep, resolve
from cascade.core.draft import Draft, Wishes
from cascade.core.machine import Begun, OptedOut, decide
from cascade.core.message import NO_ADDRESSES, Message, State
from cascade.core.prices import Prices
from cascade.core.route import Route
from cascade.core.timeline import Entry
from cascade.core.words import Channel, MessageType

FLASHCALL = PlannedStep(Channel.FLASHCALL, None)
Start = tuple[Message, list[Entry]]


class Plan(NamedTuple):
    """`variants` stand in the order of the steps; empty when every step says the same."""

    route: Route
    variants: tuple[Variant | None, ...] = ()


class Planner:
    """Plans the messages of one request, accepted at `now_ms`.

    `routes` are the configured ones, which the drafts name; `links` serve the account's channels, beginning with the
    `first_turn`th of those that share one.
    """

    def __init__(
        self,
        routes: Mapping[str, tuple[PlannedStep, ...]],
        links: Links,
        prices: Prices,
        now_ms: int,
        first_turn: int = 0,
    ) -> None:
        self._routes = routes
        self._links = links
        self._prices = prices
        self._now_ms = now_ms
        self._begun = Begun(now_ms)
        self._turn = first_turn
        self._round = lcm(*(len(in_turn) for in_turn in links.values()))
        self._unpriced: dict[tuple[str, MessageType, int], Plan] = {}
        self._priced: dict[tuple[int, str, str, int], tuple[Route, Plan]] = {}
        self._starts: dict[tuple[MessageType, int, int, int | None, int | None], Start] = {}
        self._usual: dict[tuple[str | int | None, ...], tuple[Plan, Start]] = {}

    def begin(self, draft: Draft, addresses: Mapping[str, str]) -> tuple[Plan, Start]:
        """Plan and start in one, and in one look-up for messages that differ in nothing but what they say and to whom.

        Those get the same objects: change none of them.
        """
        self._take_turn()
        if draft.wishes is not None or addresses:
            plan = self._plan(draft)
            return plan, self.start(draft, plan, addresses)
        prices = self._prices
        alike: tuple[str | int | None, ...] = (draft.route, draft.type, draft.ttl_s, draft.scheduled_at_ms, self._turn)
        if prices.channels:
            prefix = draft.phone[: prices.longest_prefix]
            alike = (*alike, draft.sender, prefix, prices.sms_parts(draft.content))
        known = self._usual.get(alike)
        if known is None:
            plan = self._plan(draft)
            known = self._usual[alike] = (plan, self.start(draft, plan, addresses))
        return known

    def plan(self, draft: Draft) -> Plan:
        self._take_turn()
        return self._plan(draft)

    def _take_turn(self) -> None:
        if self._round > 1:
            self._turn = (self._turn + 1) % self._round

    def _plan(self, draft: Draft) -> Plan:
        if draft.wishes is None:
            key = (draft.route, draft.type, self._turn)
            plan = self._unpriced.get(key)
            if plan is None:
                plan = self._unpriced[key] = Plan(resolve(self._configured(draft), self._links, self._turn))
        else:
            plan = self._wished(draft, draft.wishes)
        return self._with_prices(plan, draft) if self._prices.channels else plan

    def start(self, draft: Draft, plan: Plan, addresses: Mapping[str, str]) -> Start:
        """The message as it is stored, and its first entries: begun, or waiting for its hour.

        `addresses` are the recipient's, by link. Messages that begin alike get the same objects: change neither.
        """
        if addresses:
            return self._start(draft, plan.route, addresses)
        limit = draft.wishes.max_cost_micros if draft.wishes is not None else None
        key = (draft.type, id(plan.route), draft.ttl_s, draft.scheduled_at_ms, limit)
        start = self._starts.get(key)
        if start is None or start[0].route is not plan.route:  # an id is good only for as long as its route lives
            start = self._starts[key] = self._start(draft, plan.route, addresses)
        return start

    def refuse(self, draft: Draft, plan: Plan) -> Start:
        """The message as it is stored when the person wants no advertising: at its end before it began."""
        expires_at_ms = (draft.scheduled_at_ms or self._now_ms) + draft.ttl_s * 1000
        return decide(Message(draft.type, plan.route, expires_at_ms), OptedOut(self._now_ms))

    def _start(self, draft: Draft, route: Route, addresses: Mapping[str, str]) -> Start:
        begins_at_ms = draft.scheduled_at_ms
        expires_at_ms = (begins_at_ms or self._now_ms) + draft.ttl_s * 1000
        limit = draft.wishes.max_cost_micros if draft.wishes is not None else None
        message = Message(draft.type, route, expires_at_ms, max_cost_micros=limit, addresses=addresses or NO_ADDRESSES)
        if begins_at_ms is None:
            return decide(message, self._begun)
        return message._replace(
            state=State.SCHEDULED, due_at_ms=begins_at_ms, deadline_at_ms=begins_at_ms, step_ends_at_ms=begins_at_ms
        ), []

    def _configured(self, draft: Draft) -> Iterable[PlannedStep]:
        if draft.type is MessageType.FLASHCALL:
            return (FLASHCALL,)
        steps = self._routes[draft.route]
        if draft.type is MessageType.VIBER_SURVEY:
            return [step for step in steps if step.takes_surveys]
        return steps

    def _wished(self, draft: Draft, wishes: Wishes) -> Plan:
        """The client's own steps or the named route's; a flash call's are the call and then the fallback's."""
        steps: list[PlannedStep] = []
        said: list[Variant | None] = []
        if draft.type is MessageType.FLASHCALL:
            steps.append(FLASHCALL)
            said.append(None)
        if wishes.steps and (draft.type is not MessageType.FLASHCALL or wishes.fallback):
            steps += self._own_steps(draft, wishes)
            said += [
                Variant(text=step.text, sender=step.sender) if step.text or step.sender else None
                for step in wishes.steps
            ]
        elif wishes.fallback is not None:
            steps += self._routes[draft.route]
        elif draft.type is not MessageType.FLASHCALL:
            steps += self._configured(draft)
        said += [None] * (len(steps) - len(said))
        addresses = dict(wishes.addresses)
        route = tuple(
            step._replace(address=addresses.get(step.channel)) for step in resolve(steps, self._links, self._turn)
        )
        variants = tuple(_variants(wishes, route, said))
        return Plan(route, variants if any(variants) else ())

    def _own_steps(self, draft: Draft, wishes: Wishes) -> list[PlannedStep]:
        """The client's steps. One that does not say how long has the channel's window of the configured route: else
        it would wait out the whole time to live, and the steps after it come a day late. The last one may."""
        usual = {step.channel: step.window_s for step in self._routes[draft.route]}
        last = len(wishes.steps) - 1
        return [
            PlannedStep(
                step.channel,
                usual.get(step.channel) if step.window_s is None and place < last else step.window_s,
                is_until_read=step.is_until_read,
            )
            for place, step in enumerate(wishes.steps)
        ]

    def _with_prices(self, plan: Plan, draft: Draft) -> Plan:
        route, variants = plan
        prices = self._prices
        if variants:
            costs = [
                prices.cost_micros(
                    step.channel,
                    (variant and variant.sender) or draft.sender,
                    draft.phone,
                    varied(draft.content, variant),
                )
                for step, variant in zip(route, variants, strict=True)
            ]
            return Plan(_at_cost(route, costs), variants)
        key = (id(route), draft.sender, draft.phone[: prices.longest_prefix], prices.sms_parts(draft.content))
        known = self._priced.get(key)
        if known is None or known[0] is not route:
            costs = [prices.cost_micros(step.channel, draft.sender, draft.phone, draft.content) for step in route]
            known = self._priced[key] = (route, Plan(_at_cost(route, costs)))
        return known[1]


def _at_cost(route: Route, costs: list[int]) -> Route:
    return tuple(step._replace(cost_micros=cost) for step, cost in zip(route, costs, strict=True))


def _variants(wishes: Wishes, route: Route, said: list[Variant | None]) -> Iterable[Variant | None]:
    """What each step says of its own: what is written for the step counts before what is for its channel."""
    by_channel = dict(wishes.variants)
    fallback = wishes.fallback
    is_after_viber = False
    for step, own in zip(route, said, strict=True):
        layers = [own, by_channel.get(step.channel)]
        if is_after_viber and wishes.text_after_viber is not None:
            layers.append(Variant(text=wishes.text_after_viber))
        if fallback is not None and step.channel is not Channel.FLASHCALL:
            layers.append(Variant(text=fallback.text, type=fallback.type))
        is_after_viber = is_after_viber or step.channel is Channel.VIBER_BOT
        variant: Variant | None = None
        for layer in layers:
            if layer is not None:
                variant = layer if variant is None else variant.over(layer)
        yield variant
