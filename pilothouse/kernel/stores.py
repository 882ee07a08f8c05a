"""Object stores and folders as pyarrow sees them, from the words that delta-rs and Polars use for the same store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.fs as pafs

_S3_WORDS = {
    "aws_access_key_id": "access_key",
    "aws_secret_access_key": "secret_key",
    "aws_session_token": "session_token",
    "aws_region": "region",
    "aws_endpoint_url": "endpoint_override",
}


def local_path(url: str) -> Path | None:
    """The folder that a URL means, or None where it means an object store."""
    if "://" not in url:
        return Path(url).absolute()
    return Path(urlsplit(url).path) if url.startswith("file://") else None


def filesystem(url: str, options: Mapping[str, str]) -> tuple[pafs.FileSystem, str]:
    """The store, and the path in it."""
    folder = local_path(url)
    if folder is not None:
        return pafs.LocalFileSystem(), str(folder)
    if url.startswith("s3://"):
        given = {name.lower(): value for name, value in options.items()}
        words: dict[str, Any] = {theirs: given[ours] for ours, theirs in _S3_WORDS.items() if ours in given}
        scheme = "http" if given.get("aws_allow_http") == "true" else "https"
        return pafs.S3FileSystem(scheme=scheme, connect_timeout=10, request_timeout=60, **words), url.removeprefix("s3://").rstrip("/")
    store, root = pafs.FileSystem.from_uri(url)
    return store, str(root)
