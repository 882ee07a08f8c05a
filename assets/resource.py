"""The platform as a Dagster resource: built once in a process, from the settings of the project it runs in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import dagster as dg

from assets.platform import Platform
from pilothouse.kernel.log import correlated
from pilothouse.kernel.settings import load
from pilothouse.kernel.versions import Recorder, recording

CORRELATION_TAG = "pilothouse/correlation_id"


class PlatformResource(dg.ConfigurableResource[Platform]):
    """Settings are read where the run executes, not where it was launched: addresses differ between the two."""

    project_file: str = ""

    @property
    def platform(self) -> Platform:
        """This process's platform."""
        return _platform(self.project_file)

    @contextmanager
    def recording(self, context: dg.AssetExecutionContext) -> Iterator[Recorder]:
        """Record reads and writes, under the correlation id of whatever caused the run."""
        with correlated(context.run.tags.get(CORRELATION_TAG) or context.run.run_id), recording() as recorder:
            yield recorder


@cache
def _platform(project_file: str) -> Platform:
    return Platform(load(Path(project_file) if project_file else None))
