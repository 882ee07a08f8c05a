"""Neo4j's jars: fetched once through Maven, held against their checksums, kept in the user's cache.

Through Maven, because it knows the mirrors and proxies of the place where it runs (its own settings say so), which a download
of ours would not. `pom.xml` names the version, `jars.sha256` what must come of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from pilothouse.kernel.errors import ConfigError

_HERE = Path(__file__).parent
_CHECKSUMS = _HERE / "jars.sha256"
_PATIENCE = 1_800.0
_EXCERPT = 1_500
INSTEAD = "or set graph.url (PILOTHOUSE_GRAPH__URL) to a server of yours, or graph.engine to arcadedb"


def jars(cache: Path | None = None) -> Path:
    """The folder that holds the jars and nothing else; ConfigError says why they cannot be had."""
    cache = cache or _cache()
    folder = cache / f"neo4j-{_digest(_CHECKSUMS)[:12]}"
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "neo4j.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second finds what the first one fetched
            if not folder.is_dir():
                _fetch(cache, folder)
    except OSError as error:
        raise ConfigError(f"{cache}: cannot be written ({error.strerror})", hint="set XDG_CACHE_HOME to a folder of yours") from error
    return folder


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pilothouse"


def _fetch(cache: Path, folder: Path) -> None:
    """Fetch aside and move into place, so that an interrupted or falsified fetch leaves nothing that is taken for whole."""
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigError("graph.engine = neo4j: fetching Neo4j takes Maven, and there is no `mvn`", hint=f"install Maven, {INSTEAD}")
    with tempfile.TemporaryDirectory(prefix="neo4j.", dir=cache) as draft:
        (Path(draft) / "jars").mkdir()
        command = [maven, "--batch-mode", "--quiet", "--file", str(_HERE / "pom.xml"), "dependency:copy-dependencies"]
        command += ["-DincludeScope=runtime", f"-DoutputDirectory={draft}/jars"]
        try:
            done = subprocess.run(command, cwd=draft, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        except subprocess.TimeoutExpired as error:
            raise ConfigError(f"Maven did not fetch Neo4j within {_PATIENCE:.0f} s", hint=f"try again, {INSTEAD}") from error
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-_EXCERPT:]
            raise ConfigError(f"Maven could not fetch Neo4j:\n{said}", hint=f"look at Maven's own settings (mirrors, proxy), {INSTEAD}")
        _refuse_false(Path(draft) / "jars")
        (Path(draft) / "jars").rename(folder)


def _refuse_false(folder: Path) -> None:
    """ConfigError where a jar is missing, is one too many, or is not what it was when its checksum was written down."""
    lines = (line.split() for line in _CHECKSUMS.read_text().splitlines())
    expected = {name: digest for digest, name in lines}
    found = {jar.name: _digest(jar) for jar in folder.iterdir()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        shown = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise ConfigError(
            f"what Maven fetched is not Neo4j as we know it: {shown}", hint="clear Maven's own cache of them and ask who changed its mirror"
        )


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
