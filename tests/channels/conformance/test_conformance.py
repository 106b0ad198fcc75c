"""Every promise kept by every provider, but for what its protocol lacks. See the package's own words."""

import asyncio
import dataclasses
import logging
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from cascade.channels.base import Checks, Hears
from cascade.channels.http import HttpTransport
from cascade.channels.registry import BOTS, PROVIDERS
from cascade.core.secret import Secret

from .case import LINK, NO_CALLBACKS, NO_RECEIPTS, Twins
from .cases import CASES
from .guard import LeftTheMachineError, staying_here
from .promises import PROMISES, SANDBOX_FOR
from .stage import PHONE, Stage, staged

NOWHERE = Twins("http://127.0.0.1:9", 9, 9, f"http://127.0.0.1:9/callbacks/{LINK}")
KEPT = [(kind, promise) for kind, case in CASES.items() for promise in PROMISES if promise not in case.has_no]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[list[MutableMapping[str, Any]]]:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as lines:
        yield lines


@pytest.mark.parametrize(("kind", "promise"), KEPT, ids=[f"{kind}: {promise}" for kind, promise in KEPT])
async def test_kept(
    kind: str, promise: str, log: list[MutableMapping[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    case = CASES[kind]
    with staying_here() as left:
        async with staged(case, log, **SANDBOX_FOR.get(promise, {})) as stage:
            await PROMISES[promise](stage)
    assert not left, "a request left the machine"
    ours = [line for line in log if line.get("event") != "sandbox_started"]
    for said in (repr(ours), caplog.text, *details(stage)):
        for secret in (*case.secrets, PHONE.removeprefix("+")):
            assert secret not in said


def details(stage: Stage) -> Iterator[str]:
    """What is kept of a provider's own wording, and what a message's log would show of our values."""
    for _, news in stage.news:
        yield str(getattr(news, "detail", None))
    yield repr(stage.transport)
    if isinstance(stage.transport, HttpTransport):
        yield repr(stage.transport.adapter)
    for call in stage.calls:
        yield repr(call)


@pytest.mark.parametrize("kind", CASES)
def test_what_it_lacks_is_what_it_declares(kind: str) -> None:
    case = CASES[kind]
    assert case.has_no.keys() <= PROMISES.keys()
    assert all(case.has_no.values()), "each with its reason"
    transport = case.transport(NOWHERE)
    capabilities = transport.capabilities
    assert capabilities.channel == case.channel
    assert ("delivered" in case.has_no) == (not capabilities.has_receipts)
    assert ("revoked" in case.has_no) == (not capabilities.can_revoke)
    if capabilities.has_receipts:
        assert not case.has_no.keys() & (NO_RECEIPTS.keys() - {"read", "out of order"})
    adapter = transport.adapter if isinstance(transport, HttpTransport) else transport
    assert ("forged" in case.has_no) == (not isinstance(adapter, Hears))
    assert ("malformed" in case.has_no) == ("forged" in case.has_no)
    assert ("looked at" in case.has_no) == (not isinstance(transport, Checks))
    assert isinstance(adapter, Hears) or NO_CALLBACKS.keys() <= case.has_no.keys()
    if dataclasses.is_dataclass(adapter):
        held = [getattr(adapter, field.name) for field in dataclasses.fields(adapter)]
        secrets = {value.reveal() for value in held if isinstance(value, Secret)}
        assert secrets <= set(case.secrets), "every secret is looked for in the log"


def test_every_provider_is_judged() -> None:
    assert CASES.keys() == PROVIDERS.keys() | BOTS.keys()


async def test_the_guard_lets_nobody_out() -> None:
    with staying_here() as left:
        with pytest.raises(LeftTheMachineError):
            await asyncio.open_connection("192.0.2.1", 80)
        with pytest.raises(LeftTheMachineError):
            await asyncio.get_running_loop().getaddrinfo("example.com", 80)
        with pytest.raises((LeftTheMachineError, OSError)):
            await asyncio.open_connection("example.com", 80)
    assert len(left) == 3
    with staying_here() as left, pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", 9)
    assert not left
