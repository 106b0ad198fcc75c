"""The phones page: pick a phone and see what reached it, as it would look there."""

import base64
import hashlib
from html import escape
from urllib.parse import quote

from cascade.sandbox.people import CHANNELS, People, Person, Received

STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d9dde3, #343a43); --paper: light-dark(#f4f6f8, #15181d);
  --card: light-dark(#fff, #20252c); --faint: light-dark(#5b6470, #9aa4b2); --accent: light-dark(#0a5fd1, #7db4ff); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; font: 16px/1.45 system-ui, sans-serif;
  background: var(--paper); }
h1 { font-size: 1.25rem; } h2 { font-size: 1.05rem; }
a { color: var(--accent); overflow-wrap: anywhere; }
input, button { font: inherit; padding: .35rem .7rem; border: 1px solid var(--line); border-radius: .5rem;
  background: var(--card); color: inherit; max-width: 100%; }
button { cursor: pointer; } button:disabled { cursor: default; color: var(--faint); }
main { display: grid; grid-template-columns: 15rem minmax(0, 1fr); gap: 1.5rem; align-items: start; }
nav ul { list-style: none; margin: 0; padding: 0; } nav a { display: block; padding: .3rem .5rem; border-radius: .5rem;
  text-decoration: none; } nav a[aria-current] { background: var(--card); font-weight: 600; }
.channels { color: var(--faint); font-size: .875rem; }
article { max-width: 30rem; margin: 0 0 .8rem; padding: .6rem .9rem; background: var(--card);
  border: 1px solid var(--line); border-radius: .3rem 1rem 1rem; }
article header { display: flex; flex-wrap: wrap; gap: 0 .8rem; color: var(--faint); font-size: .8125rem; }
article p { margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
article.revoked p { text-decoration: line-through; color: var(--faint); }
.taps { display: flex; flex-wrap: wrap; gap: .4rem; margin-top: .4rem; }
@media (max-width: 40rem) { main { grid-template-columns: 1fr; gap: .5rem; } }
"""

SCRIPT = """
async function refresh() {
  try {
    const answer = await fetch(location.href);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    const shown = document.querySelector("main");
    if (fresh && fresh.innerHTML !== shown.innerHTML) shown.replaceWith(document.adoptNode(fresh));
  } catch { /* the sandbox is away; the next second asks again */ }
}
setInterval(refresh, 1000);
document.addEventListener("click", async (event) => {
  const tapped = event.target.closest("button[data-option]");
  if (!tapped) return;
  await fetch(`/people/${encodeURIComponent(tapped.dataset.phone)}/answer`, {
    method: "POST", body: JSON.stringify({channel: tapped.dataset.channel, option: tapped.dataset.option}),
  });
});
"""

SCRIPT_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{SCRIPT_HASH}'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def render(people: People, person: Person | None) -> str:
    """The whole page. `person` is the phone picked; None before one is."""
    listed = "".join(list_item(known, person) for known in people)
    phones = f"<ul>{listed}</ul>" if listed else "<p>Nobody yet. <code>PUT /people/{phone}</code> brings them in.</p>"
    title = "Phones" if person is None else person.phone
    shown = "<p>Pick a phone to see what reached it.</p>" if person is None else phone_section(person)
    value = "" if person is None else escape(person.phone)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)} · Cascade sandbox</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Phones of the sandbox</h1>
<form><label>Phone <input name="phone" type="tel" value="{value}" placeholder="+380501112233" required></label>
<button>Show</button></form>
<main>
<nav aria-label="Phones">{phones}</nav>
<section aria-live="polite">{shown}</section>
</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def list_item(known: Person, picked: Person | None) -> str:
    current = ' aria-current="page"' if picked is not None and picked.phone == known.phone else ""
    return f'<li><a href="/?phone={quote(known.phone)}"{current}>{escape(known.phone)} · {len(known.inbox)}</a></li>'


def phone_section(person: Person) -> str:
    channels = ", ".join(f"{channel} {person.on(channel)}" for channel in CHANNELS)
    bubbles = "".join(bubble(person, received) for received in person.inbox) or "<p>Nothing has reached it.</p>"
    return f'<h2>{escape(person.phone)}</h2><p class="channels">{channels}</p>{bubbles}'


def bubble(person: Person, received: Received) -> str:
    revoked = "<span>revoked</span>" if received.revoked else ""
    text = f"<p>{escape(received.text)}</p>" if received.text else ""
    media = "".join(f"<p>{escape(kind)}: {link(source, source)}</p>" for kind, source in received.media.items())
    taps = "".join(link(button.get("url", ""), button["text"]) for button in received.buttons)
    for option in received.options:
        data = {"phone": person.phone, "channel": received.channel, "option": option}
        marks = " ".join(f'data-{name}="{escape(value)}"' for name, value in data.items())
        disabled = " disabled" if received.revoked or option not in received.replies else ""
        taps += f"<button {marks}{disabled}>{escape(option)}</button>"
    return f"""<article{' class="revoked"' if received.revoked else ""}>
<header><strong>{escape(received.channel)}</strong><span>{escape(received.sender)}</span>
<time datetime="{escape(received.received_at)}">{escape(received.received_at[11:19])} UTC</time>{revoked}</header>
{text}{media}{f'<div class="taps">{taps}</div>' if taps else ""}</article>"""


def link(url: str, text: str) -> str:
    """A link only to the web: a message must not be able to run a script in this page."""
    if url.startswith(("https://", "http://")):
        return f'<a href="{escape(url)}" rel="noreferrer noopener" target="_blank">{escape(text)}</a>'
    return f"<span>{escape(text)}</span>"
