"""What dbt does in every invocation and nobody here needs: a build of seven waves pays for it seven times.

No result depends on any of it.
"""

from __future__ import annotations

from typing import Any

from dbt.plugins import manager
from dbt_common.behavior_flags import BehaviorFlagRendered
from dbt_common.events.base_types import BaseEvent, EventLevel
from dbt_common.events.event_manager import EventManager

_told = EventManager.fire_event


def _told_where_heard(
    self: EventManager,
    e: BaseEvent,
    level: EventLevel | None = None,
    node: Any = None,
    force_warn_or_error_handling: bool = False,  # noqa: FBT001, FBT002 - dbt's own
) -> None:
    """What only loggers would write is put into words where there is a logger. Warnings are told to everybody else, too."""
    if self.loggers or force_warn_or_error_handling or (level or e.level_tag()) == EventLevel.WARN:
        _told(self, e, level, node, force_warn_or_error_handling)


def spare() -> None:
    """Spare it, in this process."""
    # Ten times in an invocation it walks the whole stack with every source file on it, to name a flag's maker in a warning.
    BehaviorFlagRendered._default_source = staticmethod(lambda: "dbt")  # type: ignore[method-assign]  # noqa: SLF001
    # It looks through all of Python's packages for plugins of its own, though it can keep what it found.
    manager.PluginManager.get_prefixed_modules = classmethod(lambda _: dict(manager._get_dbt_modules()))  # type: ignore[method-assign,assignment]  # noqa: SLF001
    # Every event becomes a protocol buffer for loggers that `--log-level none` has taken away.
    EventManager.fire_event = _told_where_heard  # type: ignore[method-assign]
