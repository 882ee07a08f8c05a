"""A sync of one stream with all that belongs to it: alone, and announced."""

from __future__ import annotations

from contextlib import closing

import structlog

from assets.announcing import announce
from assets.loading import Load, Loader
from assets.platform import Platform
from assets.progress import LOADS
from assets.refusing import note_drift
from pilothouse.kernel.database.locks import exclusively
from pilothouse.kernel.log import correlated
from quality.amendments import HeldRules

log = structlog.get_logger()


def sync_stream(platform: Platform, source_name: str, stream_name: str, *, load_id: str = "") -> Load:
    """Bring one raw table up to its source. Two syncs of one stream at once: the second is refused, not queued."""
    source = platform.source(source_name)
    stream = source.stream(stream_name)
    name = f"{source_name}/{stream_name}"
    LOADS.tell(name, None)
    with correlated(), exclusively(platform.database, f"sync {name}", what=f"a sync of {name}"), closing(source.connect()) as connector:
        announce(platform, source_name, stream)  # what an earlier sync committed and did not live to tell
        rules = platform.rules(source_name, stream_name)
        loader = Loader(platform.lake, connector, stream, rules, drift=platform.drift, load_id=load_id)
        note_drift(platform, source_name, stream_name, loader.drifts, loader.accepted)
        load = loader.run()
        HeldRules(platform.lake).note(source_name, stream_name, load.held_by)
        load.events = announce(platform, source_name, stream)
        log.info(
            "synced",
            stream=name,
            arrived=load.arrived,
            new_or_changed=load.upserts,
            deleted=load.deletes,
            quarantined=load.rejected,
            events=load.events,
        )
    LOADS.tell(name, load)
    return load
