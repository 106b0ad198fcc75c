"""What the channels of an account at SMSBAT have in common: a webhook that is believed by the end of its path."""

from dataclasses import replace

from cascade.channels.base import Callback
from cascade.channels.http import HttpTransport
from cascade.channels.smsbat import Smsbat
from cascade.core.content import Content
from cascade.core.secret import Secret
from cascade.core.words import MessageType, Reason

from .case import LINK, Case, Refusal
from .stage import Stage

KEY, SECRET = "smsbat-key-of-acme", "smsbat-end-of-path"


def a_case(adapter: type[Smsbat]) -> Case:
    channel = adapter.capabilities.channel.value

    async def set_webhook(stage: Stage) -> None:
        url = f"{stage.twins.url}/smsbat/webhooks/{channel}"
        async with stage.client.put(url, json={"url": f"{stage.twins.callback_url}/{SECRET}"}) as answer:
            assert answer.status == 200, await answer.text()

    return Case(
        kind=f"{channel}.smsbat",
        transport=lambda twins: HttpTransport(
            adapter(Secret(KEY), Secret(SECRET), base_url=f"{twins.url}/smsbat"), LINK
        ),
        refusals={
            "rejects": Refusal(Reason.PROVIDER_REFUSED),
            "blocked": Refusal(Reason.UNDELIVERABLE, by_receipt=True),
            "absent": Refusal(Reason.UNDELIVERABLE, by_receipt=True),
        },
        secrets=(KEY, SECRET),
        credential={"api_key": Secret("a stranger's key")},
        has_no={
            "read": "its webhook has no such status",
            "out of order": "there is only one receipt a message",
            "revoked": "it takes nothing back",
            "replayed": "nothing is signed, so nothing has an age",
            "answered": "no webhook tells of answers",
        },
        sandbox={"smsbat_keys": (KEY,)},
        prepare=set_webhook,
        names_recipient=False,
        unfit=(MessageType.TRANSACTION, Content("x" * 50_000 if channel != "sms" else "")),
        signed=lambda call, body: replace(call, body=body),
        forged=_forged,
    )


def _forged(call: Callback) -> dict[str, Callback]:
    bare = call.url.removesuffix(f"/{SECRET}")
    return {
        "no secret": replace(call, url=bare, tail=""),
        "another secret": replace(call, url=f"{bare}/a-guess", tail="a-guess"),
        "the secret in another case": replace(call, url=f"{bare}/{SECRET.upper()}", tail=SECRET.upper()),
    }
