"""A request refused as a whole, for another reason than a broken rule in its body."""

from cascade.api.faults import ErrorCode
from cascade.core.errors import CascadeError


class RequestError(CascadeError):
    """Answer `status` with this code and message."""

    def __init__(self, status: int, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
