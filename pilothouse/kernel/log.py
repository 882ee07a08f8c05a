"""Structured logs: one line an event, one correlation id from command to run to commit, and never a secret.

Two nets hold secrets back. Values of keys that sound secret are masked, and so is every known secret value wherever it
turns up inside a text (a URL in an exception, say): `conceal` is called with each SecretStr of the settings.
"""

from __future__ import annotations

import logging
import re
import sys
import uuid
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal

import structlog

MASK = "***"
_SECRET_KEY = re.compile(r"pass(word|wd)?$|secret|token|authorization|api_?key|private_?key|cookie|credential", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):([^@/\s]+)@")
_SHORTEST = 6  # masking shorter values would blot out ordinary words
_concealed: set[str] = set()


def conceal(values: Iterable[str]) -> None:
    """Mask these values from now on, wherever they appear."""
    _concealed.update(value for value in values if len(value) >= _SHORTEST)


def sounds_secret(key: str) -> bool:
    """Whether a value of that name is held back."""
    return _SECRET_KEY.search(key) is not None


def clean(value: Any) -> Any:
    """A value without secrets, whatever its shape."""
    if isinstance(value, str):
        for secret in _concealed:
            value = value.replace(secret, MASK)
        return _URL_PASSWORD.sub(rf"\1:{MASK}@", value)
    if isinstance(value, dict):
        return {key: MASK if sounds_secret(str(key)) and item is not None else clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(clean(item) for item in value) if type(value) in {list, tuple} else clean(list(value))
    if isinstance(value, bytes):
        return clean(value.decode(errors="replace"))
    if isinstance(value, BaseException):
        return clean(f"{type(value).__name__}: {value}")
    return value


def _without_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    cleaned: dict[str, Any] = clean(dict(event))
    return cleaned


class _StderrLines(logging.Handler):
    """Writes to whatever stderr is at that moment. A class of its own, to be told apart from what a host put there."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        sys.stderr.write(self.format(record) + "\n")


def configure(form: Literal["console", "json"] = "console", level: str = "INFO") -> None:
    """Set the process's logs up: our own, and those that libraries write through `logging`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _without_secrets,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(default=str) if form == "json" else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _StderrLines()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_secrets, renderer]
        )
    )
    root = logging.getLogger()
    unconfigure()
    root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("httpx").setLevel("WARNING")  # one line a request is the connector's to write, not httpx's


def unconfigure() -> None:
    """Take our handler away again; those of others stay."""
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _StderrLines)]:
        root.removeHandler(handler)


@contextmanager
def correlated(correlation_id: str | None = None) -> Iterator[str]:
    """Everything logged inside carries one correlation id: the caller's, the open one, or a new one."""
    chosen = correlation_id or current_correlation_id() or uuid.uuid4().hex
    with structlog.contextvars.bound_contextvars(correlation_id=chosen):
        yield chosen


def current_correlation_id() -> str:
    """The open correlation id, or an empty string."""
    return str(structlog.contextvars.get_contextvars().get("correlation_id", ""))
