"""SMS over SMPP 3.4, as a client (ESME): codec, one bind, and the transport that keeps binds alive."""

from cascade.channels.smpp.settings import SmppSettings
from cascade.channels.smpp.transport import SmppTransport

__all__ = ["SmppSettings", "SmppTransport"]
