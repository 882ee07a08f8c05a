"""One translator between our errors and Dagster's.

Dagster retries in two places that do not know of each other: inside a run (`RetryRequested`) and by the run-retry daemon.
`Failure(allow_retries=False)` stops only the first, so a permanent error also tags its run with `dagster/max_retries = 0`,
which the daemon respects. A transient error asks for a retry with growing pauses, or the pause the source wished for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from pilothouse.kernel.errors import PilothouseError, SourceUnavailable

RETRIES = 3
_LONGEST_PAUSE = 300.0


@contextmanager
def translated_errors(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Turn an error of ours into what Dagster should do about it."""
    try:
        yield
    except PilothouseError as error:
        if error.transient and context.op_execution_context.retry_number < RETRIES:
            wished = error.retry_after if isinstance(error, SourceUnavailable) else None
            pause = min(wished if wished is not None else 5.0 * 3.0**context.op_execution_context.retry_number, _LONGEST_PAUSE)
            context.log.warning(f"{error}\n  trying again in {pause:.0f} s")
            raise dg.RetryRequested(max_retries=RETRIES, seconds_to_wait=pause) from error
        context.instance.add_run_tags(context.run.run_id, {"dagster/max_retries": "0", "pilothouse/error": type(error).__name__})
        metadata: dict[str, Any] = {
            "error": type(error).__name__,
            "hint": error.hint or "none",
            "transient": error.transient,
        }
        raise dg.Failure(description=str(error), metadata=metadata, allow_retries=False) from error
