"""Every adapter there is. A new channel is its own file and a line here."""

from collections.abc import Mapping

from cascade.channels import telegram_bot, viber_bot
from cascade.channels.fitting import Fitting
from cascade.channels.smpp import message as sms
from cascade.channels.telegram_bot import TelegramBot
from cascade.channels.viber_bot import ViberBot
from cascade.core.words import Channel

BOTS: Mapping[Channel, type[TelegramBot] | type[ViberBot]] = {
    Channel.TELEGRAM_BOT: TelegramBot,
    Channel.VIBER_BOT: ViberBot,
}

FITTINGS: Mapping[Channel, Fitting] = {
    Channel.TELEGRAM_BOT: telegram_bot.fitted,
    Channel.VIBER_BOT: viber_bot.fitted,
    Channel.SMS: sms.fitted,
}
"""How each would show a content."""
