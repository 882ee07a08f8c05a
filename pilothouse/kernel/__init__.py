"""What everything else stands on: errors, settings, registry, database, lake, versions, events, objects, log.

The kernel imports nothing of ours and no vendor's SDK. A module here is used by at least two layers above it.
"""
