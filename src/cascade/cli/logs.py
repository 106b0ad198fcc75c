"""Logs: one line an event, JSON for machines or text for people, on standard error.

Of an exception, ours or a library's, they hold the type and where it came from. Its message may quote a phone or a
secret, and never gets here.
"""

import logging
import sys
import traceback
from types import TracebackType

import structlog

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
MOST_CAUSES = 10
MOST_FRAMES = 30


def configure(level: str, format_: str) -> None:
    """`level`: debug, info, warning or error. `format_`: json or text."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if format_ == "text"
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_frames),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    others = logging.StreamHandler(sys.stderr)
    others.setFormatter(_Formatter(logging.BASIC_FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[others])


class _Formatter(logging.Formatter):
    """Of the libraries: uvicorn and asyncio log every exception that nobody caught, the latter with its `repr`."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        text = super().formatMessage(record)
        return text.partition("\n")[0] if record.exc_info else text

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802
        return _frames(ei)


def _frames(exc_info: ExcInfo) -> str:
    """The exception and what it came of, the latest first, each with `file:line:function` from the outside in."""
    shown: list[str] = []
    error = exc_info[1]
    while error is not None and len(shown) < MOST_CAUSES:
        frames = traceback.extract_tb(error.__traceback__, -MOST_FRAMES)
        places = " > ".join(f"{frame.filename}:{frame.lineno}:{frame.name}" for frame in frames)
        shown.append(f"{type(error).__name__}: {places}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "; after ".join(shown)
