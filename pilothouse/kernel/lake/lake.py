"""The lake as a whole: a folder or a bucket of Delta tables, named by their path in it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.fs as pafs

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake.table import Table
from pilothouse.kernel.lake.translation import translated

# The words of object_store (which delta-rs and Polars speak) for those of pyarrow, which lists folders.
_S3_WORDS = {
    "aws_access_key_id": "access_key",
    "aws_secret_access_key": "secret_key",
    "aws_session_token": "session_token",
    "aws_region": "region",
    "aws_endpoint_url": "endpoint_override",
}


class Lake:
    """Tables under one URL: a path, or `s3://`, `abfss://`, `gs://` with the options of the object store."""

    def __init__(self, url: str, options: Mapping[str, str] | None = None) -> None:
        self.options = {name.lower(): value for name, value in (options or {}).items()}
        self.local = (
            Path(urlsplit(url).path if url.startswith("file://") else url) if "://" not in url or url.startswith("file://") else None
        )
        self.url = str(self.local.absolute()) if self.local is not None else url.rstrip("/")

    def __repr__(self) -> str:
        return f"Lake({self.url})"

    def table(self, name: str) -> Table:
        """The table of that name, such as `raw/s4/sales_order`, whether it exists yet or not."""
        if not name or name.startswith("/") or ".." in name.split("/"):
            raise ConfigError(f"table name '{name}' leaves the lake", hint="names look like raw/<source>/<stream>")
        return Table(name, f"{self.url}/{name}", self.options)

    def raw(self, source: str, stream: str) -> Table:
        """The raw table of a stream."""
        if "/" in stream:
            raise ConfigError(
                f"{source}: stream name '{stream}' holds a slash", hint="a table may not lie inside of another; name it without"
            )
        return self.table(f"raw/{source}/{stream}")

    def quarantine(self, source: str, stream: str) -> Table:
        """The table of a stream's rejected rows."""
        return self.table(f"quarantine/{source}/{stream}")

    def tables(self) -> Iterator[Table]:
        """Every table there is, by name."""
        with translated(self.url):
            names = sorted(self._names())
        for name in names:
            yield self.table(name)

    def _names(self) -> Iterator[str]:
        if self.local is not None:
            there = next(folder for folder in (self.local, *self.local.absolute().parents) if folder.exists())
            if not there.is_dir():  # a glob finds nothing there, and says nothing
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
            for log in self.local.glob("**/_delta_log"):
                yield log.parent.relative_to(self.local).as_posix()
            return
        filesystem, root = self._filesystem()
        for info in filesystem.get_file_info(pafs.FileSelector(root, recursive=True, allow_not_found=True)):
            if info.path.endswith("/_delta_log/00000000000000000000.json"):
                yield info.path.removeprefix(f"{root}/").removesuffix("/_delta_log/00000000000000000000.json")

    def _filesystem(self) -> tuple[pafs.FileSystem, str]:
        if self.url.startswith("s3://"):
            words: dict[str, Any] = {theirs: self.options[ours] for ours, theirs in _S3_WORDS.items() if ours in self.options}
            if self.options.get("aws_allow_http") == "true":
                words["scheme"] = "http"
            return pafs.S3FileSystem(**words), self.url.removeprefix("s3://")
        filesystem, root = pafs.FileSystem.from_uri(self.url)
        return filesystem, root
