"""What a text from outside must be like for both engines to hold it."""

from typing import overload


@overload
def storable(text: str) -> str: ...
@overload
def storable(text: str | None) -> str | None: ...
def storable(text: str | None) -> str | None:
    """Without NUL, which PostgreSQL's texts do not hold, and without halves of surrogate pairs."""
    if not text or text.isprintable():
        return text
    return text.replace("\0", "").encode("utf-8", "replace").decode()
