"""The contract every source fulfils. `tests/contract` runs one conformance suite over all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from pilothouse.kernel.streams import Batch, Stream, Watermark

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa  # half a second that a list of streams does not need

    from connectors.target import Target


class Connector(ABC):
    """An open line to one source. Every failure of the vendor leaves it as a SourceError."""

    name: str  # the source's name in pilothouse.toml: several sources may share one kind of connector

    @abstractmethod
    def check(self) -> None:
        """Raise unless the source answers, knows us and offers our streams. Cheap: `pilothouse doctor` calls it."""

    @abstractmethod
    def streams(self) -> Sequence[Stream]:
        """The streams configured for this source. Does not ask the source."""

    @abstractmethod
    def schema(self, stream: Stream) -> pa.Schema:
        """The source's own description of the stream, as Arrow types. What it says about a field beyond its type
        (label, unit, currency, text, reference) is field metadata under the keys of `connectors.semantics`."""

    @abstractmethod
    def read(self, stream: Stream, since: Watermark | None) -> Iterator[Batch]:
        """What changed since the watermark, or everything. Batches come in an order in which each watermark is true
        once its batch and all before it are durable."""

    def keys(self, stream: Stream) -> Iterator[pa.Table]:
        """All keys that exist now, for a stream whose `deletes` is `keys`."""
        raise NotImplementedError(f"{self.name}: stream {stream.name} does not find deletes by keys")

    def count(self, stream: Stream) -> int | None:  # noqa: ARG002
        """How many rows exist now, where the source tells cheaply: equal counts spare the listing of all keys."""
        return None

    def close(self) -> None:  # noqa: B027 - most connectors hold nothing open
        """Give back connections. Called once; a closed connector is not used again."""


class SourceOptions(BaseModel):
    """What a [sources.<name>] section may say for one kind of connector. Secrets are SecretStr, and errors never show them.

    Streams, assets and schedules are derived from options that lack their credentials: one secret that is not set must
    not take every other source down with it. So what it takes to log on is asked for when a source is opened.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def missing(self) -> tuple[str, ...]:
        """The options that logging on takes and that are not set."""
        return ()


@dataclass(frozen=True)
class ConnectorKind:
    """One kind of source: what `connector = "<name>"` in pilothouse.toml stands for. Found by the registry."""

    name: str
    options: type[SourceOptions]
    streams: Callable[[Any], Sequence[Stream]]  # of validated options; asks nobody
    connect: Callable[[str, Any], Connector]  # (source name, validated options)
    target: Callable[[str, Any], AbstractContextManager[Target]] | None = None  # the same, open for writing; None: it is only read
