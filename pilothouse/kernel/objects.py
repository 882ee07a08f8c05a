"""Content-addressed blobs: what a decision said and saw, kept once and checked whenever it is read.

The address is the SHA-256 of the content. So equal content is stored once, writing it again changes nothing, and nobody
can change a blob unnoticed. A blob lies zstd-compressed at `<first two digits>/<other digits>.zst`.

It is there completely or not at all: on disk by a temporary file, fsync and rename; in an object store because an
object appears when its upload ends.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import NewType

import pyarrow.fs as pafs
import zstandard

from pilothouse.kernel.errors import LakeError, LakeUnavailable
from pilothouse.kernel.stores import filesystem, local_path

Digest = NewType("Digest", str)
_ADDRESS = re.compile(r"[0-9a-f]{64}")
_BLOB = re.compile(r"([0-9a-f]{2})/([0-9a-f]{62})\.zst$")
_LEVEL = 3
_DRAFT = ".draft-"  # begins the name of a file that is not whole yet
_TRANSIENT = re.compile(r"timed? ?out|connect|unreachable|resolve host|slow ?down|too many requests|internal ?error|5\d\d", re.IGNORECASE)


def digest(content: bytes) -> Digest:
    """The address of a content."""
    return Digest(hashlib.sha256(content).hexdigest())


class Objects:
    """The blobs under one URL: a path, or `s3://`, `abfss://`, `gs://` with the options that the lake takes."""

    def __init__(self, url: str, storage_options: Mapping[str, str] | None = None) -> None:
        self._folder = local_path(url)
        self._options = dict(storage_options or {})
        self.url = str(self._folder) if self._folder is not None else url.rstrip("/")

    def __repr__(self) -> str:
        return f"Objects({self.url})"

    def put(self, content: bytes) -> Digest:
        """Store a content, if it is not there yet, and return its address once it is durable."""
        address = digest(content)
        if not self.has(address):
            compressed = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False).compress(content)
            with self._explained(address):
                self._write(_path(address), compressed)
        return address

    def get(self, address: str) -> bytes:
        """The content of an address; LakeError where there is none, or where it is no longer what was stored."""
        store, root = self._store
        with self._explained(address), store.open_input_stream(f"{root}/{_path(address)}", compression=None) as stream:
            stored = stream.read()
        try:
            content = zstandard.ZstdDecompressor().decompressobj().decompress(stored)
        except zstandard.ZstdError as error:
            raise self._damaged(address) from error
        if digest(content) != address:
            raise self._damaged(address)
        return content

    def has(self, address: str) -> bool:
        """Whether the address is there."""
        store, root = self._store
        with self._explained(address):
            return bool(store.get_file_info(f"{root}/{_path(address)}").type == pafs.FileType.File)

    def delete(self, address: str) -> bool:
        """Remove an address; whether it was there."""
        if not self.has(address):
            return False
        store, root = self._store
        with self._explained(address):
            store.delete_file(f"{root}/{_path(address)}")
        return True

    def walk(self) -> Iterator[Digest]:
        """Every address there is, in order."""
        store, root = self._store
        with self._explained("all"):
            infos = store.get_file_info(pafs.FileSelector(root, recursive=True, allow_not_found=True))
        found = (_BLOB.search(info.path) for info in infos)
        yield from sorted(Digest(match[1] + match[2]) for match in found if match is not None)

    def discard_unfinished(self, before: datetime) -> int:
        """Remove what writes that were killed left on a local disk, unless it is younger; how many files that were. An object store
        drops unfinished uploads by a rule of the bucket."""
        removed = 0
        for path in self._folder.glob(f"[0-9a-f][0-9a-f]/{_DRAFT}*") if self._folder is not None else ():
            with suppress(FileNotFoundError):  # it was finished meanwhile
                if path.stat().st_mtime < before.timestamp():
                    path.unlink()
                    removed += 1
        return removed

    @cached_property
    def _store(self) -> tuple[pafs.FileSystem, str]:
        return filesystem(self.url, self._options)

    def _write(self, path: str, compressed: bytes) -> None:
        if self._folder is not None:
            _write_durably(self._folder / path, compressed)
            return
        store, root = self._store
        with store.open_output_stream(f"{root}/{path}", compression=None) as stream:
            stream.write(compressed)

    def _damaged(self, address: str) -> LakeError:
        return LakeError(
            f"{self.url}: object {address} is damaged: its content has another digest",
            hint="restore it from a backup, or delete it and put it again",
        )

    @contextmanager
    def _explained(self, address: str) -> Iterator[None]:
        """What the store raises, as an error of ours."""
        try:
            yield
        except FileNotFoundError as error:
            raise LakeError(f"{self.url}: there is no object {address}", hint="was it removed by retention, or never written?") from error
        except OSError as error:
            said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            message = f"{self.url}: object {address}: {said}"
            if "No space left" in said or "quota" in said:
                raise LakeUnavailable(message, hint="free some space, then try again") from error
            if self._folder is None and _TRANSIENT.search(said) and "ACCESS_DENIED" not in said:
                raise LakeUnavailable(message, hint="check the store's address (PILOTHOUSE_LAKE__OPTIONS), then try again") from error
            raise LakeError(message, hint="check the path, its owner and PILOTHOUSE_LAKE__OPTIONS") from error


def _path(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise LakeError(f"'{address[:80]}' is no address of an object", hint="an address is a SHA-256 in 64 hexadecimal digits")
    return f"{address[:2]}/{address[2:]}.zst"


def _write_durably(path: Path, content: bytes) -> None:
    """Either the whole file under its name, or nothing; on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{_DRAFT}{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself
    finally:
        os.close(folder)
