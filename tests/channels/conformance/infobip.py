"""What the channels of an account at Infobip have in common: reports that are believed by the end of their path."""

from collections.abc import Mapping
from dataclasses import replace

from cascade.channels.base import Callback
from cascade.channels.http import HttpTransport
from cascade.channels.infobip import Infobip
from cascade.core.secret import Secret
from cascade.core.words import Reason

from .case import LINK, Case, Refusal

KEY, SECRET = "infobip-key-of-acme", "infobip-end-of-path"


def a_case(adapter: type[Infobip], has_no: Mapping[str, str]) -> Case:
    return Case(
        kind=f"{adapter.capabilities.channel.value}.infobip",
        transport=lambda twins: HttpTransport(
            adapter(f"{twins.url}/infobip", Secret(KEY), Secret(SECRET), callback_url=twins.callback_url), LINK
        ),
        refusals={
            "rejects": Refusal(Reason.UNKNOWN_RECIPIENT),
            "blocked": Refusal(Reason.BLOCKED, by_receipt=True),
            "absent": Refusal(Reason.UNKNOWN_RECIPIENT, by_receipt=True),
        },
        secrets=(KEY, SECRET),
        credential={"api_key": Secret("a stranger's key")},
        has_no={
            "revoked": "it takes nothing back",
            "replayed": "nothing is signed, so nothing has an age",
            **has_no,
        },
        sandbox={"infobip_keys": (KEY,)},
        signed=lambda call, body: replace(call, body=body),
        forged=_forged,
    )


def _forged(call: Callback) -> dict[str, Callback]:
    bare = call.url.removesuffix(f"/{SECRET}")
    return {
        "no secret": replace(call, url=bare, tail=""),
        "another secret": replace(call, url=f"{bare}/a-guess", tail="a-guess"),
        "more than the secret": replace(call, url=f"{bare}/{SECRET}/more", tail=f"{SECRET}/more"),
    }
