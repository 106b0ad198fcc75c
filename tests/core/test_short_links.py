"""Where a short link may lead, and whose clicks count as people's."""

import re
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cascade.core.short_links import is_code, is_machine, is_too_soon, redirect_target

EXACT = {
    "https": "https://shop.example/",
    "http": "http://shop.example/a",
    "no path": "https://shop.example",
    "a query with everything": "https://shop.example/a/b.html?utm_source=sms&x=%20%2F&y=[1]{2}|3^`\"<>'()*;:@!$,~",
    "a fragment": "https://shop.example/#top",
    "a query without a path": "https://shop.example?x=1",
    "a port": "https://shop.example:8443/x",
    "an address": "http://127.0.0.1:8080/x",
    "an IPv6 address": "http://[2001:db8::1]:8080/x",
    "the scheme in capitals": "HTTPS://Shop.example/X",
    "an at sign in the path": "https://shop.example/@me",
    "a URL within it": "https://shop.example/?to=https://evil.example//x",
    "the longest": "https://shop.example/" + "x" * 2_027,
}


@pytest.mark.parametrize("url", EXACT.values(), ids=EXACT.keys())
def test_a_url_is_kept_to_the_letter(url: str) -> None:
    assert redirect_target(url) == url


ENCODED = {
    "a path in Ukrainian": (
        "https://shop.example/знижка?місто=Київ",
        "https://shop.example/%D0%B7%D0%BD%D0%B8%D0%B6%D0%BA%D0%B0?%D0%BC%D1%96%D1%81%D1%82%D0%BE=%D0%9A%D0%B8%D1%97%D0%B2",
    ),
    "a host in Ukrainian": ("https://розетка.укр/a%20b", "https://xn--80ajfnrlr.xn--j1amh/a%20b"),
    "an emoji": ("https://shop.example/🙂", "https://shop.example/%F0%9F%99%82"),
}


@pytest.mark.parametrize(("url", "target"), ENCODED.values(), ids=ENCODED.keys())
def test_what_is_not_ascii_is_encoded_as_browsers_do_it(url: str, target: str) -> None:
    assert redirect_target(url) == target


REFUSED = {
    "nothing": "",
    "no scheme": "shop.example",
    "no host": "https:///x",
    "a script": "javascript:alert(1)",
    "data": "data:text/html,x",
    "another scheme": "ftp://shop.example/",
    "a scheme's relative form": "//evil.example/",
    "a path alone": "/x",
    "one slash": "https:/evil.example",
    "a user that looks like the host": "https://bank.example@evil.example/",
    "a user and a password": "https://a:b@evil.example/",
    "a backslash that ends the host": "https://evil.example\\@shop.example/",
    "a line break in front": "\nhttps://shop.example/",
    "a line break behind": "https://shop.example/\n",
    "a header": "https://shop.example/\r\nSet-Cookie: a=b",
    "a line break in the host": "https://shop.\r\nexample/",
    "Unicode's own line break": "https://shop.example/\u2028x",
    "a next-line character": "https://shop.example/\x85",
    "NUL": "https://shop.example/\0",
    "a tab": "https://shop.example/\tx",
    "a space": "https://shop.example/a b",
    "half an emoji": "https://shop.example/\ud83d",
    "an escaped host": "https://evil%2eexample/",
    "a host that becomes two": "https://shop.example℀.evil.example/",
    "a wide slash in the host": "https://shop.example／evil.example/",
    "a label too long for IDNA": "https://" + "ї" * 70 + ".example/",
    "a label too long for any host": "https://" + "a" * 64 + ".example/",
    "a dot for a host": "https://./",
    "two dots in a row": "https://shop..example/",
    "no number as the port": "https://shop.example:x/",
    "too long": "https://shop.example/" + "x" * 2_028,
}


@pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED.keys())
def test_anything_else_is_refused(url: str) -> None:
    assert redirect_target(url) is None


characters = st.sampled_from([*"/\\@:?#%&=.-_~[]\r\n\t\0 \x85\u2028ї／℀🙂", "http", "https", "://", "e.com", "evil"])
urls = st.lists(characters, max_size=12).map("".join)
bases = st.sampled_from(
    ["", "https://", "https://e.com", "https://e.com/", "http://e.com?", "https://e.com:1", "http://[::1]"]
)


@example("https://", "./ї")
@given(bases, urls | st.text(max_size=12))
def test_whatever_is_let_through_is_one_header_line_and_the_same_place(base: str, rest: str) -> None:
    url = base + rest
    target = redirect_target(url)
    if target is None:
        return
    assert re.fullmatch(r"[Hh][Tt][Tt][Pp][Ss]?://[!-~]+", target)
    assert "@" not in urlsplit(target).netloc
    assert "\\" not in urlsplit(target).netloc
    if url.isascii():
        assert target == url
    else:
        same = urlsplit(target).hostname == (urlsplit(url).hostname or "").encode("idna").decode()
        assert same
        there, wanted = (unquote(urlsplit(one)._replace(scheme="", netloc="").geturl()) for one in (target, url))
        assert there == wanted
    assert redirect_target(target) == target or len(target) > 2_048


CODES = {
    "mPq7XkZ2": True,
    "mPq7XkZ": False,
    "mPq7XkZ2a": False,
    "mPq7XkZ0": False,
    "mPq7XkZl": False,
    "mPq7XkZ2\n": False,
}


def test_the_form_of_a_code() -> None:
    assert {code: is_code(code) for code in CODES} == CODES


IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1"
    " Mobile/15E148 Safari/604.1"
)
CUBOT = "Mozilla/5.0 (Linux; Android 13; CUBOT P80) AppleWebKit/537.36 Chrome/131.0 Mobile Safari/537.36"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
)
PEOPLE = {
    "an iPhone": {"user-agent": IPHONE},
    "a telephone whose name ends like a robot's": {"user-agent": CUBOT},
    "a computer": {"user-agent": CHROME},
    "a browser with other purposes": {"user-agent": CHROME, "sec-fetch-mode": "navigate"},
}
MACHINES = {
    "Telegram": {"user-agent": "TelegramBot (like TwitterBot)"},
    "Viber": {"user-agent": "Viber/21.5.0.0"},
    "WhatsApp": {"user-agent": "WhatsApp/2.23.18.78 i"},
    "Facebook": {"user-agent": "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"},
    "Meta": {"user-agent": "meta-externalagent/1.1"},
    "iMessage": {
        "user-agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko)"
        " Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0"
    },
    "Slack": {"user-agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"},
    "Slack's pictures": {"user-agent": "Slack-ImgProxy (+https://api.slack.com/robots)"},
    "X": {"user-agent": "Twitterbot/1.0"},
    "Discord": {"user-agent": "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)"},
    "Skype": {"user-agent": "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5"},
    "Google": {"user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"},
    "Google's renderer": {"user-agent": f"{CHROME} Google-PageRenderer Google (+https://developers.google.com)"},
    "Apple": {"user-agent": "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (Applebot/0.1)"},
    "a browser looking ahead": {"user-agent": CHROME, "sec-purpose": "prefetch;prerender"},
    "Safari's preview": {"user-agent": IPHONE, "x-purpose": "preview"},
    "nobody": {},
    "an empty name": {"user-agent": ""},
}


@pytest.mark.parametrize("headers", PEOPLE.values(), ids=PEOPLE.keys())
def test_a_person_clicks(headers: dict[str, str]) -> None:
    assert not is_machine(headers)


@pytest.mark.parametrize("headers", MACHINES.values(), ids=MACHINES.keys())
def test_a_machine_clicks(headers: dict[str, str]) -> None:
    assert is_machine(headers)


SOON = {  # click, sendings, is it too soon within two seconds
    "at once": (1_000, [1_000], True),
    "just within": (2_999, [1_000], True),
    "just after": (3_000, [1_000], False),
    "soon after a later sending": (9_000, [1_000, 8_000], True),
    "before a later sending": (7_999, [1_000, 8_000], False),
    "never sent": (5, [], False),
}


@pytest.mark.parametrize(("at_ms", "sent", "is_soon"), SOON.values(), ids=SOON.keys())
def test_no_person_clicks_within_two_seconds(at_ms: int, sent: list[int], is_soon: bool) -> None:
    assert is_too_soon(at_ms, sent, 2_000) is is_soon
