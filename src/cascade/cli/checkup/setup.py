"""The configuration, and whether the accounts that there are fit it."""

from collections.abc import Iterator
from typing import Final

from cascade.channels.registry import PROVIDERS
from cascade.channels.smpp.settings import SmppSettings
from cascade.cli.checkup.finding import Finding, State, well
from cascade.core.words import Channel
from cascade.serve import now_ms
from cascade.settings import Settings
from cascade.store.accounts import Accounts

SOON_MS: Final = 14 * 86_400_000
DEFAULT_ROUTES: Final = Settings.model_fields["routes"].default


def of_settings(settings: Settings) -> Iterator[Finding]:
    public_url = settings.http.public_url
    if public_url is None:
        fix = "Set http.public_url to the HTTPS address that people and providers reach"
        yield Finding(
            "public address", State.WARNING, "none: no receipts from providers that call us, no short links", fix
        )
    elif not public_url.startswith("https://"):
        fix = "Providers call no other: set http.public_url to one that begins with https://"
        yield Finding("public address", State.WARNING, f"{public_url} is not HTTPS", fix)
    else:
        yield well("public address", public_url)
    if not settings.provider_links:
        yield Finding("providers", State.WARNING, "none is configured: there are only bots", "See cascade.example.toml")


def setting_of(link: str, settings: Settings) -> str:
    """Where the configuration speaks of a provider's link."""
    return "smpp" if link == "sms.smpp" and settings.smpp is not None else f"providers.{link.partition('.')[2]}"


def of_accounts(settings: Settings, loaded: Accounts) -> Iterator[Finding]:
    if not loaded.accounts:
        yield Finding("accounts", State.ILL, "there is none", "`cascade account add NAME`")
        return
    yield well("accounts", f"{len(loaded.accounts)}, with {len(loaded.keys)} keys and {len(loaded.bots)} bots")
    for key in loaded.keys.values():
        if key.expires_at_ms is not None and key.expires_at_ms < now_ms() + SOON_MS:
            when = "has expired" if not key.is_valid(now_ms()) else "expires within two weeks"
            name = f"key {loaded.accounts[key.account_id].name}/{key.name}"
            yield Finding(name, State.WARNING, when, "`cascade key add` makes another, `cascade key revoke` drops it")
    names = {account.name for account in loaded.accounts.values()}
    for link, configured in settings.provider_links.items():
        for unknown in sorted(set(configured.accounts or ()) - names):
            fix = f"Correct {setting_of(link, settings)}.accounts, or `cascade account add {unknown}`"
            yield Finding(f"link {link}", State.WARNING, f"it is kept for {unknown!r}, which is no account", fix)
    yield from _of_senders(settings, loaded)


def _of_senders(settings: Settings, loaded: Accounts) -> Iterator[Finding]:
    """Names that an account may use, and that no SMS by SMPP can carry: each such message is `invalid_sender`."""
    for account in loaded.accounts.values():
        for link, configured in settings.provider_links.items():
            serves = configured.accounts is None or account.name in configured.accounts
            if not serves or not isinstance(configured.own, SmppSettings):
                continue
            unfit = [name for name in sorted(account.senders or ()) if configured.own.sender(name) is None]
            if unfit:
                place = setting_of(link, settings)
                fix = f"Map it to one that the operator registered in {place}.senders, or set {place}.default_sender"
                detail = f"{account.name} may send as {', '.join(unfit)}, which {link} cannot carry"
                yield Finding(f"senders of {account.name}", State.WARNING, detail, fix)


def of_routes(settings: Settings, loaded: Accounts) -> Iterator[Finding]:
    """Steps that nobody's messages can go by, since no link carries their channel."""
    carried = {PROVIDERS[link.kind].channel for link in settings.provider_links.values()}
    carried |= {bot.channel for bot in loaded.bots}
    for name, steps in settings.routes.items():
        channels = list(dict.fromkeys(step.channel for step in steps))
        without = [channel for channel in channels if channel not in carried]
        listed = ", ".join(without)
        if not without:
            yield well(f"route {name}", f"goes by {', '.join(channels)}")
        elif len(without) == len(channels):
            fix = f"{_remedy(without)}; until then its messages end in permanenterror"
            yield Finding(f"route {name}", State.ILL, f"none of its channels has a link: {listed}", fix)
        elif DEFAULT_ROUTES.get(name) == steps:  # it names every channel that there is
            others = [channel for channel in channels if channel in carried]
            yield well(f"route {name}", f"goes by {', '.join(others)}; passed over, without a link: {listed}")
        else:
            fix = f"{_remedy(without)}, or take it out of routes.{name}"
            yield Finding(f"route {name}", State.WARNING, f"passed over, without a link: {listed}", fix)


def _remedy(channels: list[Channel]) -> str:
    ways = []
    for channel in channels:
        if channel.needs_subscriber:
            ways.append(f"`cascade bot add ACCOUNT {channel}`")
        else:
            ways.append(f"[providers.NAME] of kind {channel}.…")
    return f"Add {' or '.join(ways)}"
