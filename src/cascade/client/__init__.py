"""Cascade's client: send messages, follow them, and check the webhooks that tell of them.

It knows the gateway by HTTP alone and needs httpx and nothing else, so it is also a distribution of its own,
`cascade-client` (clients/python), with the same modules under the name `cascade_client`.
"""

from .async_messenger import AsyncCascadeMessenger
from .errors import (
    ApiError,
    CascadeError,
    ForbiddenError,
    ForgedWebhookError,
    InvalidRequestError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    UnauthorizedError,
    UnreachableError,
)
from .messenger import CascadeMessenger
from .retries import Retries
from .version import __version__
from .webhooks import verify
from .words import Event, Listed, Message, Preview, Refused, Sent, Status

__all__ = [
    "ApiError",
    "AsyncCascadeMessenger",
    "CascadeError",
    "CascadeMessenger",
    "Event",
    "ForbiddenError",
    "ForgedWebhookError",
    "InvalidRequestError",
    "Listed",
    "Message",
    "NotFoundError",
    "Preview",
    "RateLimitedError",
    "Refused",
    "Retries",
    "Sent",
    "ServerError",
    "Status",
    "UnauthorizedError",
    "UnreachableError",
    "__version__",
    "verify",
]
