"""What a table says as a whole, in three numbers: the same for the same rows, whatever their order and files.

The hashes of all rows are summed, so a digest grows and shrinks with the rows that come and go: a table of millions that
lost ten and gained twelve knows its new digest without being read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa

from pilothouse.kernel.lake.identity import row_hashes

KEY: Final = "digest"
_WORD: Final = 2**64


@dataclass
class Digest:
    """The sum of row hashes in two words and the number of rows, over the names and types of the columns."""

    schema: str
    words: tuple[int, int, int] = (0, 0, 0)

    @classmethod
    def of(cls, schema: pa.Schema) -> Digest:
        """Of no rows yet."""
        return cls("|".join(sorted(f"{field.name}:{field.type}" for field in schema)))

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], schema: pa.Schema) -> Digest | None:
        """The inverse of `as_metadata`; None where the commit tells none, or one of other columns."""
        digest, _, words = str(metadata.get(KEY, "")).partition(":")
        if not words:
            return None
        kept = cls.of(schema)
        kept.words = tuple(int(word, 16) for word in words.split("-"))  # type: ignore[assignment]
        return kept if kept.hexdigest() == digest else None

    def as_metadata(self) -> dict[str, str]:
        """As a commit's metadata."""
        return {KEY: f"{self.hexdigest()}:{'-'.join(f'{word:x}' for word in self.words)}"}

    def add(self, rows: pl.DataFrame) -> None:
        """Count these rows in."""
        self.words = self._moved(rows, 1)

    def counting(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same batches, counted in as they pass."""
        for batch in batches:
            self.add(pl.DataFrame(pl.from_arrow(batch)))
            yield batch

    def including(self, rows: pa.Table) -> Digest:
        """With these rows."""
        return Digest(self.schema, self._moved(pl.DataFrame(pl.from_arrow(rows)), 1))

    def without(self, rows: pa.Table) -> Digest:
        """Without these rows, which it counted before."""
        return Digest(self.schema, self._moved(pl.DataFrame(pl.from_arrow(rows)), -1))

    def hexdigest(self) -> str:
        """As text: equal digests, equal content."""
        return hashlib.sha256(self.schema.encode() + np.array(self.words, dtype=np.uint64).tobytes()).hexdigest()

    def _moved(self, rows: pl.DataFrame, sign: int) -> tuple[int, int, int]:
        hashes = row_hashes(rows)
        moved = (int(hashes.high.sum(dtype=np.uint64)), int(hashes.low.sum(dtype=np.uint64)), len(hashes))
        one, two, three = ((word + sign * by) % _WORD for word, by in zip(self.words, moved, strict=True))
        return one, two, three
