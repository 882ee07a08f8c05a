"""What a child of root may do: as little as it can, and never by opening folders to everybody."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pilothouse.kernel.errors import ConfigError
from pilothouse.local import privileges
from pilothouse.local.privileges import tethered, unprivileged_account

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root lends an account")


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    (folder / "file").write_text("content")
    return folder / "file"


def run_as(account: privileges.Account, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, preexec_fn=tethered(account.become), capture_output=True, text=True, check=False)


@needs_root
def test_a_child_passes_through_a_closed_folder_but_cannot_write_there(closed: Path) -> None:
    account = unprivileged_account(closed)
    assert account is not None
    assert account.passes_through
    assert run_as(account, "cat", str(closed)).stdout == "content"
    assert run_as(account, "touch", str(closed.with_name("new"))).returncode != 0
    assert run_as(account, "id", "-u").stdout.strip() == str(account.uid) != "0"
    assert closed.parent.stat().st_mode & 0o777 == 0o700


@needs_root
def test_where_everything_is_open_a_child_keeps_no_right_at_all() -> None:
    account = unprivileged_account(Path("/usr/bin/env"))
    assert account is not None
    assert not account.passes_through
    rights = run_as(account, "grep", "CapEff", "/proc/self/status").stdout.split()[1]
    assert int(rights, 16) == 0


@needs_root
def test_a_closed_folder_without_the_right_to_pass_is_named_with_the_way_out(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privileges, "_may_pass_through", lambda: False)
    with pytest.raises(ConfigError, match="closed to the account") as refusal:
        unprivileged_account(closed)
    assert "chmod o+x" in refusal.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root lends an account")
def test_whoever_is_not_root_needs_no_other_account(closed: Path) -> None:
    assert unprivileged_account(closed) is None
