"""Whoever is asked beyond this machine: providers, bots, webhooks, a Redis, and our own doors."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from cascade.channels.base import Checks, Health, Transport
from cascade.cli.checkup.clock import of_clock
from cascade.cli.checkup.finding import Finding, State, of_error, well
from cascade.cli.checkup.setup import setting_of
from cascade.core.errors import BucketsAwayError, ConfigError
from cascade.core.targets import TargetRefusedError, Targets
from cascade.serve import bot_transport, link_setup, now_ms, redis_buckets
from cascade.settings import Settings
from cascade.store.accounts import Accounts
from cascade.store.webhooks import Webhook

LONGEST_S: Final = 20.0
HTTP_S: Final = 5.0
Look = Callable[[], Awaitable[Finding | None]]


async def of_the_outside(settings: Settings, loaded: Accounts | None, enabled: list[Webhook]) -> list[Finding]:
    """Every provider, bot, webhook and address, all at once. `enabled`: the webhooks that are."""
    looks: dict[str, Look] = {}
    public_url = settings.http.public_url
    reached_at = None if public_url is None else public_url.rstrip("/")
    for name, link in settings.provider_links.items():
        fix = f"Look at [{setting_of(name, settings)}]: its address if it is not reached, else its credentials"
        looks[f"link {name}"] = _look_at(f"link {name}", link_setup(name, link, reached_at).transport, fix)
    if loaded is not None:
        for bot in loaded.bots:
            transport = bot_transport(settings, bot.channel, bot.link, loaded.tokens[bot.link])
            fix = f"If it is not reached, look at {bot.channel}.base_url; else give it another token: "
            fix += f"`cascade bot remove {loaded.accounts[bot.account_id].name} {bot.link}` and `add`"
            looks[f"bot {bot.link}"] = _look_at(f"bot {bot.link}", transport, fix)
    for webhook in enabled:
        what = f"webhook {webhook.url}"
        looks[what] = _look_at_webhook(what, webhook.url, settings.webhooks.targets)
    looks["clock"] = _look_at_clock("clock", _clocks(settings, loaded))
    if settings.limits.redis_url is not None:
        looks["redis"] = _look_at_redis("redis", settings.limits.redis_url)
    looks["gateway"] = _look_at_gateway("gateway", settings.http.reached_at if reached_at is None else _local(settings))
    if reached_at is not None:
        looks["public address"] = _look_at_gateway("reached from outside", reached_at)
    found = await asyncio.gather(*(_in_time(what, look) for what, look in looks.items()))
    return [finding for finding in found if finding is not None]


def _local(settings: Settings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http.host, settings.http.host)  # noqa: S104 - no bind
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.http.port}"


async def _in_time(what: str, look: Look) -> Finding | None:
    try:
        async with asyncio.timeout(LONGEST_S):
            return await look()
    except TimeoutError:
        return Finding(what, State.ILL, f"no answer within {LONGEST_S:.0f} s")


def _look_at(what: str, transport: Transport, fix: str) -> Look:
    async def look() -> Finding:
        try:
            if not isinstance(transport, Checks):
                return Finding(what, State.WARNING, "this kind cannot be asked: only a message shows whether it works")
            health: Health = await transport.check()
        finally:
            await transport.stop(0)
        if health.is_well:
            return well(what, health.detail)
        return Finding(what, State.ILL, health.detail, fix)

    return look


def _look_at_redis(what: str, url: str) -> Look:
    async def look() -> Finding:
        try:
            buckets = redis_buckets(url)
        except ConfigError as error:
            return of_error(what, error)
        try:
            await buckets.look()
        except BucketsAwayError as error:
            fix = "Start it, or look at limits.redis_url: until then nodes share rates through the store"
            return Finding(what, State.ILL, f"{buckets.shown} does not answer: {error}", fix)
        finally:
            await buckets.close()
        return well(what, f"{buckets.shown} answers and runs our scripts")

    return look


def _look_at_gateway(what: str, url: str) -> Look:
    async def look() -> Finding:
        try:
            async with httpx.AsyncClient(timeout=HTTP_S) as http:
                answer = await http.get(f"{url}/health/ready")
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__  # a certificate that is not believed is told here, too
            return Finding(
                what,
                State.WARNING,
                f"{url} cannot be reached: {why}",
                "Start it, or look at http.host, http.port, http.public_url and the proxy",
            )
        if answer.status_code == 200:
            return well(what, f"ready at {url}")
        return Finding(
            what, State.WARNING, f"{url} answers {answer.status_code}", "It starts, stops, or lacks its store"
        )

    return look


def _look_at_webhook(what: str, url: str, targets: Targets) -> Look:
    """That somebody listens and shows a certificate that is believed. Nothing is asked of it."""

    async def look() -> Finding:
        try:
            target = targets.check_url(url)
            targets.check_addresses(target.host, await _addresses(target.host, target.port))
            is_tls = target.url.startswith("https:") or None
            async with asyncio.timeout(HTTP_S):
                _, writer = await asyncio.open_connection(target.host, target.port, ssl=is_tls)
        except TargetRefusedError as refusal:
            fix = "Its owner must change it, or you allow it: webhooks.allow, webhooks.allow_http, webhooks.ports"
            return Finding(what, State.ILL, f"we do not call it: {refusal}", fix)
        except OSError as error:  # TimeoutError, gaierror and ssl.SSLError are such
            why = error.strerror or str(error) or type(error).__name__
            fix = "Its owner must open it; or let this machine out (firewall), or `cascade webhook remove`"
            return Finding(what, State.WARNING, f"it cannot be reached: {why}", fix)
        writer.close()
        return well(what, "it can be reached")

    return look


async def _addresses(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _clocks(settings: Settings, loaded: Accounts | None) -> list[str]:
    """Who can tell us the time: providers that speak HTTP."""
    urls = [str(url) for link in settings.provider_links.values() if (url := getattr(link.own, "base_url", None))]
    channels = {bot.channel for bot in loaded.bots} if loaded is not None else set()
    return [*(str(getattr(settings, channel.value).base_url) for channel in channels), *urls]


def _look_at_clock(what: str, urls: list[str]) -> Look:
    """By the first of them that answers with its time; None where none does."""

    async def look() -> Finding | None:
        async with httpx.AsyncClient(timeout=HTTP_S) as http:
            for url in urls:
                asked_ms = now_ms()
                with suppress(httpx.TransportError, ValueError, TypeError):
                    answer = await http.head(url)
                    told = parsedate_to_datetime(answer.headers.get("date", ""))
                    theirs_ms = round(told.timestamp() * 1000) + 500  # the second is cut off
                    return of_clock((asked_ms + now_ms()) // 2 - theirs_ms, answer.url.host)
        return None

    return look
