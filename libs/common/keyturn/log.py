"""Structured logs: our records and every library's through one formatter, without secrets, with correlation.

Names of events are constant and values are keywords: `log.info("message_sent", message_id=...)`.
"""

import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Literal, TextIO
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from keyturn.tracebacks import formatted, text_of

MASK = "***"
SHORTEST_SECRET = 6  # shorter values are part of ordinary words
DEEPEST = 6

# aiormq and aio_pika print whole frames at DEBUG; httpx prints addresses with what they carry at INFO.
LOUD = {"aiormq": logging.INFO, "aio_pika": logging.INFO, "httpx": logging.WARNING, "httpcore": logging.WARNING}
QUIET = {"uvicorn": logging.WARNING, "asyncio": logging.WARNING, "alembic": logging.WARNING}

_SECRET_KEY = re.compile(
    r"passw|passphrase|secret|authorization|cookie|credential|api_?key|(private|signing|sealing|session|mail)_?keys?$"
    r"|(^|_)token$|database_url|bus_url|(^|_)dsn$",
    re.IGNORECASE,
)
# What one of the patterns below can begin with: most texts are looked through only once.
_SUSPICIOUS = re.compile(r"(?i)://|bearer|basic|/setup/|[sr]k_|whsec_|DETAIL: |invalid input ")
_SECRET_TEXT = (
    (re.compile(r"(://[^:/@\s]*:)[^@\s/]+@"), rf"\g<1>{MASK}@"),
    (re.compile(r"(?i)(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\g<1> {MASK}"),
    (re.compile(r"(/setup/)[A-Za-z0-9_-]{16,}"), rf"\g<1>{MASK}"),
    (re.compile(r"\b((?:sk|rk)_(?:live|test)_|whsec_)[A-Za-z0-9]{8,}"), rf"\g<1>{MASK}"),
    (re.compile(r"(?s)(\bDETAIL: |\binvalid input [a-z0-9 $]+: ).*"), rf"\g<1>{MASK}"),  # PostgreSQL quotes values
)

_OURS = {"level", "timestamp"}  # what the processors put there; callers cannot

_known: list[str] = []  # the longest first: one may be part of another
_hidden: ContextVar[tuple[str, ...]] = ContextVar("hidden", default=())


def get_logger(**values: Any) -> structlog.stdlib.BoundLogger:
    """A logger; configured or not at the time it is made."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(**values)
    return logger


def register_secrets(values: Iterable[str]) -> None:
    """These values never appear in any record of this process, exception texts included."""
    long = [value for value in values if len(value) >= SHORTEST_SECRET]
    _known[:] = sorted({*_known, *long, *(quote(value, safe="") for value in long)}, key=len, reverse=True)


@contextmanager
def hidden(*values: str) -> Iterator[None]:
    """The same for what one piece of work handles: hidden in records made inside the block."""
    token = _hidden.set((*_hidden.get(), *(value for value in values if len(value) >= SHORTEST_SECRET)))
    try:
        yield
    finally:
        _hidden.reset(token)


@contextmanager
def correlated(**values: str | int | None) -> Iterator[None]:
    """Records inside the block carry these: service, event_id, wire, subject, attempt, trace_id."""
    with structlog.contextvars.bound_contextvars(**{k: v for k, v in values.items() if v is not None}):
        yield


def masked(text: str) -> str:
    """The text without known secrets and without what looks like one."""
    hidden_here = _hidden.get()
    for secret in sorted({*_known, *hidden_here}, key=len, reverse=True) if hidden_here else _known:
        text = text.replace(secret, MASK)
    if _SUSPICIOUS.search(text):
        for pattern, replacement in _SECRET_TEXT:
            text = pattern.sub(replacement, text)
    return text


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The last processor before rendering: whatever the record holds by now is masked by name and by value."""
    return {key: _redacted(key, value, DEEPEST) for key, value in event.items()}


def _redacted(key: str, value: Any, deep: int) -> Any:
    if value is None or isinstance(value, bool | int | float) or (deep == DEEPEST and key in _OURS):
        return value
    if _is_secret(key):
        return MASK
    if isinstance(value, str) or deep == 0:
        return masked(str(value))
    if isinstance(value, Mapping):
        return {masked(str(k)): _redacted(str(k), v, deep - 1) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(key, v, deep - 1) for v in value]
    return masked(text_of(value) if isinstance(value, BaseException) else str(value))


@lru_cache(1000)
def _is_secret(key: str) -> bool:
    return _SECRET_KEY.search(key) is not None


def unforgeable(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """For terminals: no stranger's text begins a line that looks like a record, or moves the cursor. JSON escapes such
    characters by itself."""
    return {key: _plain(key, value) for key, value in event.items()}


def _plain(key: str, value: Any) -> Any:
    if not isinstance(value, str) or value.isprintable():
        return value
    lines = value.split("\n") if key in {"exception", "stack"} else [value]
    return "\n".join(("    " if len(lines) > 1 else "") + "".join(map(_visible, line)) for line in lines)


def _visible(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def configure(
    service: str | None,
    log_format: Literal["console", "json"] = "console",
    level: str = "INFO",
    *,
    stream: TextIO | None = None,
) -> None:
    """Called once by a process. `service`: None where several services share it and each binds its own name."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if service:
        structlog.contextvars.bind_contextvars(service=service)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(_formatter(shared, log_format))
    _take_over(handler, level)


def _formatter(shared: list[Processor], log_format: Literal["console", "json"]) -> logging.Formatter:
    renderers: list[Processor] = (
        [structlog.processors.JSONRenderer(default=str)]
        if log_format == "json"
        else [
            unforgeable,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.ExceptionRenderer(formatted),
            redact,
            *renderers,
        ],
    )


def _take_over(handler: logging.Handler, level: str) -> None:
    """Every library's records go to our handler alone."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    for name, lowest in {**LOUD, **QUIET}.items():
        logging.getLogger(name).setLevel(max(lowest, root.level))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
