"""The phones page: pick a phone, see what reached it on each channel as it would look there, and act as its owner."""

import re
from html import escape
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from cascade.sandbox.people import CHANNELS, Behaviour, People, Person, Received

FILES = {"phones.css": "text/css", "phones.js": "text/javascript"}
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MOST_LISTED = 100
MOST_SHOWN = 50
"""Of the newest messages on a channel."""
TITLES = {
    "telegram_bot": "Telegram",
    "viber_bot": "Viber bot",
    "viber_business": "Viber Business",
    "rcs": "RCS",
    "sms": "SMS",
    "flashcall": "Calls",
}
BOTS = ("telegram_bot", "viber_bot")
WRITTEN = (*BOTS, "sms")
SIGNS = {  # the path of a drawing, 24 by 24
    "image": "M3 5h18v14H3zM6 16l4-5 3 3 2-2 3 4zM16 9a1.5 1.5 0 1 1 0 .1z",
    "video": "M3 5h18v14H3zM10 9v6l5-3z",
    "file": "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6",
}
LINKED = "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1"
PATH_END = re.compile("[?#]")


def asset(name: str) -> str:
    """The text of one of `FILES`."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def render(people: People, person: Person | None) -> str:
    """The whole page. `person` is the phone picked; None before one is."""
    title = "Phones" if person is None else person.phone
    value = "" if person is None else escape(person.phone)
    shown = "<h2>Pick a phone</h2><p>to see what reached it.</p>" if person is None else phone_section(person)
    phone = "" if person is None else f' data-phone="{escape(person.phone)}"'
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/phones.css">
<title>{escape(title)} · Cascade sandbox</title>
<script src="/phones.js" defer></script>
</head>
<body>
<a class="skip" href="#phone">To the phone</a>
<header class="top"><h1>Phones of the sandbox</h1>
<form><label>Phone <input name="phone" type="tel" value="{value}" placeholder="+380501112233" required></label>
<button>Show</button></form></header>
<div class="layout">
<nav aria-label="Phones" id="phones" data-live>{phone_list(people, person)}</nav>
<main id="phone" tabindex="-1"{phone}>
<p class="problem" role="alert"></p>
{shown}
</main>
</div>
</body>
</html>
"""


def phone_list(people: People, picked: Person | None) -> str:
    """The phones that something reached last come first."""
    newest = sorted(people, key=lambda known: known.inbox[-1].received_at if known.inbox else "", reverse=True)
    if not newest:
        return "<p>Nobody yet. Send a message, or show a phone.</p>"
    items = "".join(list_item(known, picked) for known in islice(newest, MOST_LISTED))
    more = f"<p>and {len(newest) - MOST_LISTED} more</p>" if len(newest) > MOST_LISTED else ""
    return f"<h2>{len(newest)} phones</h2><ul>{items}</ul>{more}"


def list_item(known: Person, picked: Person | None) -> str:
    current = ' aria-current="page"' if picked is not None and picked.phone == known.phone else ""
    count = len(known.inbox)
    spoken = f"{known.phone}, {count} received"
    return (
        f'<li><a href="/?phone={quote(known.phone)}" aria-label="{escape(spoken)}"{current}>'
        f'<span>{escape(known.phone)}</span><span class="count">{count}</span></a></li>'
    )


def phone_section(person: Person) -> str:
    screens = "".join(screen(person, channel) for channel in CHANNELS)
    return f"""<h2>{escape(person.phone)}</h2>
<p class="hint">What reached it, and how it behaves. <button data-do="empty">Empty it</button></p>
<div class="screens">{screens}</div>"""


def screen(person: Person, channel: str) -> str:
    """One channel of the phone: its conversation, how the phone behaves there, and what its owner can do."""
    on_it = [received for received in person.inbox if received.channel == channel]
    messages = "".join(message(received) for received in on_it[-MOST_SHOWN:])
    chat = messages or '<p class="nothing">Nothing has reached it here.</p>'
    behaves = person.on(channel)
    choices = "".join(
        f"<option{' selected' if behaviour is behaves else ''}>{behaviour}</option>" for behaviour in Behaviour
    )
    title = TITLES[channel]
    return f"""<section class="screen {channel}" aria-label="{title}">
<header><h3>{title}</h3>
<span id="behaviour-{channel}" data-live><select data-channel="{channel}" aria-label="How it behaves on {title}">
{choices}</select></span></header>
<div class="chat" id="chat-{channel}" role="log" aria-label="{title}: what reached it" tabindex="0" data-live>
{chat}</div>
{f'<footer id="acts-{channel}" data-live>{acts(channel, behaves)}</footer>' if channel in BOTS else ""}
{writing(channel) if channel in WRITTEN else ""}
</section>"""


def writing(channel: str) -> str:
    return (
        f'<form class="write" data-channel="{channel}"><input name="text" maxlength="1000" required autocomplete="off" '
        f'aria-label="Write by {TITLES[channel]}" placeholder="Write"><button>Send</button></form>'
    )


def acts(channel: str, behaves: Behaviour) -> str:
    """What a person does with a bot, beside answering it."""
    if behaves is Behaviour.ABSENT:
        first = act("behave", channel, "Start the bot", to=Behaviour.DELIVERS)
    elif behaves is Behaviour.BLOCKED:
        first = act("behave", channel, "Unblock the bot", to=Behaviour.DELIVERS)
    else:
        first = act("behave", channel, "Block the bot", to=Behaviour.BLOCKED)
    return act("share", channel, "Share the contact") + first


def act(do: str, channel: str, label: str, *, is_off: bool = False, **data: str) -> str:
    marks = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    disabled = " disabled" if is_off else ""
    return f'<button data-do="{do}" data-channel="{channel}"{marks}{disabled}>{escape(label)}</button>'


def message(received: Received) -> str:
    """As the phone shows it: medium above text, buttons and options below."""
    revoked = '<span class="mark">revoked</span>' if received.revoked else ""
    media = "".join(medium(kind, source) for kind, source in received.media.items())
    text = f"<p>{escape(received.text)}</p>" if received.text else ""
    taps = "".join(link(button.get("url", ""), button["text"]) for button in received.buttons)
    for option in received.options:
        is_off = received.revoked or option not in received.replies
        taps += act("answer", received.channel, option, is_off=is_off, option=option)
    return f"""<article class="message{" revoked" if received.revoked else ""}">
<div class="from"><strong>{escape(received.sender)}</strong>
<time datetime="{escape(received.received_at)}">{escape(received.received_at[11:19])} UTC</time>{revoked}</div>
<div class="bubble">{media}{text}</div>{f'<div class="taps">{taps}</div>' if taps else ""}</article>"""


def medium(kind: str, source: str) -> str:
    """The page fetches nothing from the web, so a picture is a frame with its name."""
    name = PATH_END.split(source, maxsplit=1)[0].rstrip("/").rpartition("/")[2] or source
    sign = f'<svg viewBox="0 0 24 24" aria-hidden="true"><path d="{SIGNS.get(kind, LINKED)}"/></svg>'
    return f'<div class="media">{sign}<span>{escape(kind)}: {link(source, name)}</span></div>'


def link(url: str, text: str) -> str:
    """A link only to the web: a message must not be able to run a script in this page."""
    if url.startswith(("https://", "http://")):
        return f'<a href="{escape(url)}" rel="noreferrer noopener" target="_blank">{escape(text)}</a>'
    return f"<span>{escape(text)}</span>"
