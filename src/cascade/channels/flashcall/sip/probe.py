"""Whether a trunk answers and takes our credentials, without calling anybody: OPTIONS (RFC 3261, 11)."""

import asyncio
import ssl

from cascade.channels.base import Health
from cascade.channels.flashcall.sip import digest, statuses
from cascade.channels.flashcall.sip.call import T1_S, Place
from cascade.channels.flashcall.sip.digest import Credentials
from cascade.channels.flashcall.sip.message import MAGIC, Headers, Message, Request, Response, encode
from cascade.channels.flashcall.sip.settings import SipSettings
from cascade.channels.flashcall.sip.wire import Wire
from cascade.channels.http import redact


async def look(settings: SipSettings, tls: ssl.SSLContext | None) -> Health:
    """Never raises."""
    heard: asyncio.Queue[Message | None] = asyncio.Queue()
    wire = Wire(settings, lambda _, message: heard.put_nowait(message), lambda _: heard.put_nowait(None))
    place = f"{settings.host}:{settings.port} ({settings.carrier.value})"
    try:
        await wire.open(tls)
        answer = await _ask(wire, heard, settings)
    except ConnectionRefusedError:
        return Health(False, f"{place}: nobody listens there")
    except TimeoutError:
        return Health(False, f"{place} says nothing to OPTIONS")
    except OSError as error:  # ssl.SSLError is one
        return Health(False, f"{place} cannot be reached: {type(error).__name__}")
    except Exception as error:  # only its type: its text may hold what the operator set
        return Health(False, f"{place}: {type(error).__name__}")
    finally:
        wire.close()
    said = redact(f"{answer.status} {answer.reason}".strip())
    if answer.status in statuses.CREDENTIALS:
        return Health(False, f"{place} does not take our credentials: {said}")
    return Health(True, f"{place} answers: {said}")


async def _ask(wire: Wire, heard: "asyncio.Queue[Message | None]", settings: SipSettings) -> Response:
    """The final answer, to credentials where they are wanted."""
    uri = f"sip:{settings.domain or settings.host}"
    call_id = digest.new_cnonce()
    answer = await _say(wire, heard, settings, _options(uri, wire.place, call_id, 1))
    challenge = digest.challenge_of(answer) if answer.status in statuses.CREDENTIALS else None
    if challenge is None or not settings.username:
        return answer
    credentials = Credentials(settings.username, settings.password)
    header = digest.answer(answer.status, challenge, credentials, "OPTIONS", uri, digest.new_cnonce())
    return await _say(wire, heard, settings, _options(uri, wire.place, call_id, 2, header))


async def _say(wire: Wire, heard: "asyncio.Queue[Message | None]", settings: SipSettings, options: Request) -> Response:
    data = encode(options)
    async with asyncio.timeout(settings.trunk_s):
        while True:
            wire.write(data)
            try:
                async with asyncio.timeout(None if wire.place.is_reliable else T1_S):
                    while True:
                        message = await heard.get()
                        if message is None:
                            raise ConnectionRefusedError
                        if isinstance(message, Response) and message.status >= 200:
                            return message
            except TimeoutError:
                continue


def _options(uri: str, place: Place, call_id: str, cseq: int, header: tuple[str, str] | None = None) -> Request:
    headers = [
        ("Via", f"SIP/2.0/{place.protocol} {place.sent_by};rport;branch={MAGIC}{digest.new_cnonce()}"),
        ("Max-Forwards", "70"),
        ("From", f"<{uri}>;tag={digest.new_cnonce()}"),
        ("To", f"<{uri}>"),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} OPTIONS"),
        *([header] if header is not None else []),
        ("Contact", f"<sip:{place.sent_by}>"),
        ("Accept", "application/sdp"),
    ]
    return Request("OPTIONS", uri, Headers(headers))
