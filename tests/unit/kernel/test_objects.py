"""Blobs by their content: stored once, whole or not at all, and never returned when they are not what was stored."""

from __future__ import annotations

import hashlib
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pyarrow.fs as pafs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.kernel.errors import LakeError, LakeUnavailable
from pilothouse.kernel.objects import Objects, digest
from pilothouse.kernel.stores import filesystem


class ObjectStore(Protocol):
    """What the fixture `s3` is."""

    url: str
    options: dict[str, str]


@pytest.fixture(params=["disk", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "disk":
        return Objects(str(tmp_path / "objects"))
    store: ObjectStore = request.getfixturevalue("s3")
    return Objects(store.url, store.options)


def overwrite(objects: Objects, address: str, content: bytes) -> None:
    store, root = filesystem(objects.url, objects._options)
    with store.open_output_stream(f"{root}/{address[:2]}/{address[2:]}.zst", compression=None) as stream:
        stream.write(content)


def test_what_is_put_comes_back_by_its_digest(objects: Objects) -> None:
    address = objects.put(b"decision")
    assert address == hashlib.sha256(b"decision").hexdigest()
    assert objects.get(address) == b"decision"
    assert objects.get(objects.put(b"")) == b""


def test_equal_content_is_stored_once(objects: Objects) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(objects.put, [b"same"] * 8))) == 1
    assert list(objects.walk()) == [digest(b"same")]


def test_walk_lists_every_address_and_delete_removes_one(objects: Objects) -> None:
    addresses = sorted(objects.put(bytes([i])) for i in range(5))
    assert list(objects.walk()) == addresses
    assert objects.delete(addresses[2])
    assert not objects.delete(addresses[2])
    assert list(objects.walk()) == addresses[:2] + addresses[3:]
    assert not objects.has(addresses[2])


def test_nothing_there_yet_is_an_empty_walk(objects: Objects) -> None:
    assert list(objects.walk()) == []
    assert not objects.has(digest(b"x"))


def test_an_object_that_is_not_there_is_named(objects: Objects) -> None:
    with pytest.raises(LakeError, match=f"there is no object {digest(b'gone')}"):
        objects.get(digest(b"gone"))


@pytest.mark.parametrize("address", ["", "../../etc/passwd", "AB" * 32, "0" * 63])
def test_what_is_no_address_reaches_no_store(tmp_path: Path, address: str) -> None:
    with pytest.raises(LakeError, match="is no address"):
        Objects(str(tmp_path)).get(address)


def test_a_blob_that_was_replaced_by_another_is_noticed(objects: Objects) -> None:
    import zstandard

    address = objects.put(b"release the order")
    overwrite(objects, address, zstandard.compress(b"hold the order"))
    with pytest.raises(LakeError, match="is damaged"):
        objects.get(address)


@pytest.mark.parametrize(
    "damage", [lambda blob: blob[:-3], lambda blob: b"", lambda blob: b"no zstd at all"], ids=["cut", "empty", "foreign"]
)
def test_a_damaged_blob_is_noticed_and_can_be_put_again(objects: Objects, damage: Callable[[bytes], bytes]) -> None:
    address = objects.put(b"x" * 1000)
    store, root = filesystem(objects.url, objects._options)
    with store.open_input_stream(f"{root}/{address[:2]}/{address[2:]}.zst", compression=None) as stream:
        stored = stream.read()
    overwrite(objects, address, damage(stored))
    with pytest.raises(LakeError, match="is damaged"):
        objects.get(address)
    objects.delete(address)
    assert objects.get(objects.put(b"x" * 1000)) == b"x" * 1000


def test_text_takes_less_room_than_it_is_long(tmp_path: Path) -> None:
    objects = Objects(str(tmp_path))
    objects.put(b"an answer of a model, repeated " * 10_000)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.zst")) < 5_000


@given(contents=st.lists(st.binary(max_size=2000), max_size=8))
@settings(max_examples=25)
def test_any_contents_come_back_unchanged(contents: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        objects = Objects(folder)
        addresses = [objects.put(content) for content in contents]
        assert [objects.get(address) for address in addresses] == contents
        assert set(objects.walk()) == set(addresses)


@pytest.fixture
def files_end_at_a_kilobyte() -> Iterator[None]:
    """The kernel refuses to let any file of ours grow further: as close to a full disk as a test gets without one."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, before)


def test_a_write_that_fails_halfway_leaves_no_trace(tmp_path: Path, files_end_at_a_kilobyte: None) -> None:
    content = b"".join(digest(bytes([i])).encode() for i in range(100))
    objects = Objects(str(tmp_path / "objects"))
    with pytest.raises(LakeError):
        objects.put(content)
    assert not objects.has(digest(content))
    assert [path for path in (tmp_path / "objects").rglob("*") if path.is_file()] == []


def test_what_a_killed_write_left_is_removed_once_it_is_old_and_nothing_else_is(tmp_path: Path) -> None:
    objects = Objects(str(tmp_path / "objects"))
    address = objects.put(b"decision")
    killed = (
        "import os, signal; from pilothouse.kernel.objects import Objects;"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL);"  # in the middle: written, and under no name yet
        f"Objects({str(tmp_path / 'objects')!r}).put(b'never whole')"
    )
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    assert list(objects.walk()) == [address]
    now = datetime.now(UTC)
    assert objects.discard_unfinished(before=now - timedelta(days=1)) == 0
    assert objects.discard_unfinished(before=now + timedelta(days=1)) == 1
    assert [path.suffix for path in (tmp_path / "objects").rglob("*") if path.is_file()] == [".zst"]
    assert objects.get(address) == b"decision"


def test_a_full_disk_is_worth_another_try(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("a small file system needs the right to mount one")
    try:
        with pytest.raises(LakeUnavailable, match="No space left"):
            Objects(str(folder)).put(b"".join(digest(bytes([i, j])).encode() for i in range(256) for j in range(16)))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LakeError, match="Not a directory") as refusal:
        Objects(str(tmp_path / "file" / "objects")).put(b"x")
    assert not refusal.value.transient


def test_a_wrong_key_is_refused_by_the_store(s3: ObjectStore) -> None:
    wrong = Objects(s3.url, {**s3.options, "aws_secret_access_key": "wrong"})
    with pytest.raises(LakeError) as refusal:
        wrong.put(b"x")
    assert not refusal.value.transient


def test_the_store_speaks_the_words_of_the_lake(s3: ObjectStore) -> None:
    store, root = filesystem(s3.url, {name.upper(): value for name, value in s3.options.items()})
    assert isinstance(store, pafs.S3FileSystem)
    assert s3.url == f"s3://{root}"
