"""What a commit of a raw table says about itself, inside the same atomic Delta commit as its rows.

Delta keeps a commit's metadata as strings, so everything goes into one JSON value under one key: a reader finds all
of it or nothing. `sequence` is also the commit's application transaction: two writers that start from the same state
both try to write sequence n + 1, and the store lets one of them win.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

KEY = "pilothouse"
TRANSACTION = "pilothouse"


@dataclass(frozen=True, kw_only=True)
class Commit:
    """One batch as it became durable."""

    sequence: int  # 1, 2, 3 ... without a gap
    batch_id: str
    load_id: str  # the sync that brought it
    watermark: Mapping[str, Any] | None
    seen_at: str  # ISO, UTC; strictly grows along a table even where the machine's clock does not
    backfill: bool  # part of the first full load: history, not news
    complete: bool = False  # the first full load ended with it
    contract: str = ""  # the source's schema at that moment, by `encode_schema`
    accepted: tuple[str, ...] = ()  # differences of the schema that a person accepted, in words
    correlation_id: str = ""

    def encode(self) -> dict[str, str]:
        """As Delta's custom metadata."""
        return {KEY: json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))}

    @classmethod
    def decode(cls, metadata: Mapping[str, Any]) -> Commit | None:
        """Out of one entry of Delta's history; None for commits that are not a batch's (compaction, properties)."""
        text = metadata.get(KEY)
        if not text:
            return None
        fields = json.loads(text)
        return cls(**{**fields, "accepted": tuple(fields.get("accepted", ()))})


def encode_schema(schema: pa.Schema) -> str:
    """A schema with its field metadata as text, small enough to stand in every commit."""
    return base64.b64encode(zlib.compress(schema.serialize().to_pybytes())).decode()


def decode_schema(text: str) -> pa.Schema:
    """The inverse of `encode_schema`."""
    return pa.ipc.read_schema(pa.py_buffer(zlib.decompress(base64.b64decode(text))))
