"""Whatever a content holds: what an adapter says it can carry, its provider takes. The twins know the limits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.channels.http import HttpRequest
from cascade.channels.infobip import Infobip, InfobipRcs, InfobipSms, InfobipViber
from cascade.channels.vonage import Vonage, VonageRcs, VonageSms, VonageViber
from cascade.core.attempt import Attempt
from cascade.core.content import Button, Content, Media
from cascade.core.secret import Secret
from cascade.core.words import MessageType
from cascade.sandbox import infobip, vonage

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60),
    st.sampled_from([1, 84, 85, 86, 999, 1000, 1001, 1999, 2000, 2001, 3071, 3072, 3073, 3200, 3201, 4096]).map(
        "я".__mul__
    ),
)
ENDINGS = (".jpg", ".png", ".gif", ".mp4", ".avi", ".pdf", ".zip", "", "/page?x=.jpg")
LINKS = st.builds(
    lambda size, ending: f"https://cdn.example/{'x' * size}{ending}",
    st.sampled_from([1, 960, 980, 990, 1000, 2020, 2030]),
    st.sampled_from(ENDINGS),
)
LABELS = st.sampled_from([1, 24, 25, 26, 30, 31, 50, 51, 255]).map("x".__mul__)
MEDIA = st.builds(
    Media,
    image=st.none() | LINKS,
    video=st.none() | LINKS,
    thumbnail=st.none() | LINKS,
    file=st.none() | LINKS,
    file_name=st.none() | st.sampled_from(["terms.pdf", "x" * 22 + ".pdf", "terms", "x" * 250 + ".pdf"]),
    duration_s=st.none() | st.sampled_from([0, 1, 600, 601]),
    size_bytes=st.none() | st.sampled_from([0, 1, 200 * 1024 * 1024, 200 * 1024 * 1024 + 1]),
)
CONTENTS = st.builds(
    Content,
    text=TEXTS,
    options=st.lists(LABELS, max_size=5).map(tuple),
    media=st.none() | MEDIA,
    buttons=st.lists(st.builds(Button, text=LABELS, url=LINKS), max_size=13).map(tuple),
)
TYPES = st.sampled_from([MessageType.TRANSACTION, MessageType.PROMO, MessageType.VIBER_SURVEY])

ADAPTERS: dict[str, Vonage | Infobip] = {
    **{
        each.__name__: each(Secret("signature"), api_key="key", api_secret=Secret("secret"))
        for each in (VonageViber, VonageRcs, VonageSms)
    },
    **{
        each.__name__: each("https://acme.api.infobip.com", Secret("key"), Secret("secret"))
        for each in (InfobipViber, InfobipRcs, InfobipSms)
    },
}


@pytest.mark.parametrize("name", ADAPTERS)
@given(content=CONTENTS, type_=TYPES, window_s=st.sampled_from([1, 60, 10**7]))
@settings(max_examples=60, deadline=None)
def test_what_fits_is_taken(name: str, content: Content, type_: MessageType, window_s: int) -> None:
    adapter = ADAPTERS[name]
    if adapter.fits(content, type_) is not None:
        assert adapter.shown(content, type_) is None
        return
    request = adapter.request(Attempt(1, bytes(16), 1, "+380501112233", "Shop", type_, content, window_s))
    assert isinstance(request, HttpRequest)
    if isinstance(adapter, Vonage):
        vonage.check(request.json)
    else:
        (message,) = request.json["messages"]
        infobip.check(adapter.capabilities.channel.value, message)
