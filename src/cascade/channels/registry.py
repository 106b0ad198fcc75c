"""Every adapter there is. A new one is its own file and a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from cascade.channels import flashcall, smsbat, telegram_bot, viber_bot
from cascade.channels.base import Transport
from cascade.channels.fitting import Fitting, as_sms
from cascade.channels.flashcall.asterisk.settings import AsteriskSettings
from cascade.channels.flashcall.asterisk.transport import AsteriskTransport
from cascade.channels.flashcall.sinch import SinchFlashcall, SinchTransport
from cascade.channels.flashcall.sip.settings import SipSettings
from cascade.channels.flashcall.sip.transport import SipTransport
from cascade.channels.http import HttpAdapter, HttpSettings, HttpTransport
from cascade.channels.infobip import InfobipRcs, InfobipSms, InfobipViber
from cascade.channels.rcs import google
from cascade.channels.rcs.google import GoogleRcs
from cascade.channels.smpp.settings import SmppSettings
from cascade.channels.smpp.transport import SmppTransport
from cascade.channels.sms import twilio
from cascade.channels.sms.twilio import TwilioSms
from cascade.channels.smsbat import SmsbatRcs, SmsbatSms, SmsbatViber
from cascade.channels.telegram_bot import TelegramBot
from cascade.channels.viber_bot import ViberBot
from cascade.channels.vonage import VonageRcs, VonageSms, VonageViber
from cascade.core.words import Channel


@dataclass(frozen=True, slots=True)
class Provider:
    """What the configuration calls a kind: who may carry a channel.

    `settings` is the dataclass of what an operator sets for one account there; texts of type `Secret` are kept out of
    every log. Its field `callback_url`, where it has one and the operator left it out, is filled with the address at
    which the provider can call us. `transport` builds the link from settings, the link's name and, for those that speak
    HTTP, the common settings of such. `fitting` says how it would show a content.
    """

    channel: Channel
    settings: type[Any]
    transport: Callable[[Any, str, HttpSettings], Transport]
    fitting: Callable[[Any], Fitting]


def over_http(channel: Channel, adapter: type[HttpAdapter], fitting: Fitting) -> Provider:
    """A provider whose adapter is its settings."""
    return Provider(channel, adapter, HttpTransport, lambda _: fitting)


BOTS: Mapping[Channel, type[TelegramBot] | type[ViberBot]] = {
    Channel.TELEGRAM_BOT: TelegramBot,
    Channel.VIBER_BOT: ViberBot,
}
"""Their accounts are not in the configuration but in the store: customers bring them."""

BOT_FITTINGS: Mapping[Channel, Fitting] = {
    Channel.TELEGRAM_BOT: telegram_bot.fitted,
    Channel.VIBER_BOT: viber_bot.fitted,
}

PROVIDERS: Mapping[str, Provider] = {
    "rcs.google": over_http(Channel.RCS, GoogleRcs, google.fitted),
    "flashcall.asterisk": Provider(
        Channel.FLASHCALL,
        AsteriskSettings,
        lambda settings, link, http: AsteriskTransport(settings, link),
        lambda _: flashcall.fitted,
    ),
    "flashcall.sinch": Provider(Channel.FLASHCALL, SinchFlashcall, SinchTransport, lambda _: flashcall.fitted),
    "flashcall.sip": Provider(
        Channel.FLASHCALL,
        SipSettings,
        lambda settings, link, http: SipTransport(settings, link),
        lambda _: flashcall.fitted,
    ),
    "rcs.infobip": over_http(Channel.RCS, InfobipRcs, InfobipRcs.shown),
    "rcs.smsbat": over_http(Channel.RCS, SmsbatRcs, partial(smsbat.fitting, SmsbatRcs)),
    "rcs.vonage": over_http(Channel.RCS, VonageRcs, VonageRcs.shown),
    "sms.infobip": over_http(Channel.SMS, InfobipSms, InfobipSms.shown),
    "sms.smpp": Provider(
        Channel.SMS,
        SmppSettings,
        lambda settings, link, http: SmppTransport(settings),
        lambda settings: partial(as_sms, transliterates=settings.transliterate),
    ),
    "sms.smsbat": over_http(Channel.SMS, SmsbatSms, partial(smsbat.fitting, SmsbatSms)),
    "sms.twilio": over_http(Channel.SMS, TwilioSms, twilio.fitted),
    "sms.vonage": over_http(Channel.SMS, VonageSms, VonageSms.shown),
    "viber_business.infobip": over_http(Channel.VIBER_BUSINESS, InfobipViber, InfobipViber.shown),
    "viber_business.smsbat": over_http(Channel.VIBER_BUSINESS, SmsbatViber, partial(smsbat.fitting, SmsbatViber)),
    "viber_business.vonage": over_http(Channel.VIBER_BUSINESS, VonageViber, VonageViber.shown),
}
