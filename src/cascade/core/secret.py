"""A text that must not be seen: a token, an API key, a password."""

import hmac


class Secret:
    """Printing, formatting or logging one shows `***`. It is no `str`, so joining or encoding one by mistake fails.

    Equality takes the same time wherever two secrets differ.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself, for the one place that puts it on the wire or into a signature."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)
