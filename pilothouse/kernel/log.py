"""Structured logs: one line an event, one correlation id from command to run to commit, and never a secret.

structlog brings rich along, a tenth of a second. So it is imported by whoever writes a log or opens a correlation id, and not by
whoever only declares assets.
"""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal

from pilothouse.kernel.concealing import clean


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
    import structlog

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
    import structlog

    chosen = correlation_id or current_correlation_id() or uuid.uuid4().hex
    with structlog.contextvars.bound_contextvars(correlation_id=chosen):
        yield chosen


def current_correlation_id() -> str:
    """The open correlation id, or an empty string."""
    import structlog

    return str(structlog.contextvars.get_contextvars().get("correlation_id", ""))
