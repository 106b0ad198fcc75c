"""A route is stored with its message, and reads back as it was, whatever the configuration says since."""

from hypothesis import given
from hypothesis import strategies as st

from cascade.core.route import Route, Step, decode, encode
from cascade.core.words import Channel

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
steps = st.builds(
    Step,
    channel=st.sampled_from(Channel),
    link=st.none() | texts,
    window_s=st.none() | st.integers(0, 30 * 86_400),
    is_until_read=st.booleans(),
    cost_micros=st.integers(0, 10**9),
    address=st.none() | texts,
)


@given(st.lists(steps, max_size=6).map(tuple))
def test_it_reads_back_as_it_was_stored(route: Route) -> None:
    assert decode(encode(route)) == route


def test_a_plain_step_takes_no_more_room_than_it_says() -> None:
    assert encode((Step(Channel.SMS, "sms.smpp", None),)) == '[["sms","sms.smpp",null]]'


def test_a_route_of_an_older_cascade_is_read() -> None:
    assert decode('[["viber_bot",null,60]]') == (Step(Channel.VIBER_BOT, None, 60),)
