"""Sensors: what happens because something happened."""

import dagster as dg

from assets.resource import PlatformResource


@dg.sensor(
    name="announce_pending",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Announces commits whose events a crash left untold. Each commit is announced exactly once, by whoever comes first.",
)
def announce_pending(platform: PlatformResource) -> dg.SkipReason:
    """A sync announces its own commits; this one looks for those of syncs that died in between."""
    from assets.announcing import announce

    told = 0
    for source in platform.platform.sources.values():
        for stream in source.streams.values():
            told += announce(platform.platform, source.name, stream)
    return dg.SkipReason(f"{told} events were announced" if told else "every commit is announced")
