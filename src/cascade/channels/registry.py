"""Every adapter there is. A new channel is its own file and a line here."""

from collections.abc import Mapping

from cascade.channels.telegram_bot import TelegramBot
from cascade.channels.viber_bot import ViberBot
from cascade.core.words import Channel

BOTS: Mapping[Channel, type[TelegramBot] | type[ViberBot]] = {
    Channel.TELEGRAM_BOT: TelegramBot,
    Channel.VIBER_BOT: ViberBot,
}
