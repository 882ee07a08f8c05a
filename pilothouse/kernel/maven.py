"""Jars of Maven Central, each named by its coordinates and pinned by what it is.

Maven itself fetches them, so that mirrors, proxies and credentials are those that its own settings on this machine name. What
arrives is taken only if its SHA-256 is the one that stands in our code; what is there already costs no process.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pilothouse.kernel.errors import ConfigError, SourceUnavailable

_POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>jars</artifactId><version>1</version>
<dependencies>{dependencies}</dependencies></project>"""
_DEPENDENCY: Final = """<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>
<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>"""
_PATIENCE: Final = 600.0  # seconds; thirteen megabytes over a poor line


@dataclass(frozen=True)
class Jar:
    """One jar."""

    group: str
    name: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        """What its file is called."""
        return f"{self.name}-{self.version}.jar"


def fetched(jars: Sequence[Jar], folder: Path) -> list[Path]:
    """The jars in this folder, fetched where they are not there yet; ConfigError where one is not what it should be."""
    missing = [jar for jar in jars if not _is(folder / jar.file, jar)]
    if missing:
        _fetch(missing, folder)
    return [folder / jar.file for jar in jars]


def _fetch(jars: Sequence[Jar], folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ConfigError(
            f"{jars[0].file} is not here, and Maven, which would fetch it, is not either",
            hint=f"install Maven (`apt-get install maven`), or put {', '.join(jar.file for jar in jars)} into {folder}",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=folder) as work:
        dependencies = "".join(_DEPENDENCY.format(group=jar.group, name=jar.name, version=jar.version) for jar in jars)
        (Path(work) / "pom.xml").write_text(_POM.format(dependencies=dependencies))
        command = [maven, "-q", "-B", "-f", f"{work}/pom.xml", "dependency:copy-dependencies", f"-DoutputDirectory={work}/jars"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise SourceUnavailable(
                f"Maven: no answer within {_PATIENCE:.0f} s", hint="try again; `mvn -X` says what it waits for"
            ) from error
        if done.returncode:
            told = next((line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line), f"exit code {done.returncode}")
            raise SourceUnavailable(f"Maven: {told}", hint="check the network, and mirrors and proxies in ~/.m2/settings.xml")
        for jar in jars:
            arrived = Path(work) / "jars" / jar.file
            if not _is(arrived, jar):
                raise ConfigError(
                    f"{jar.group}:{jar.name}:{jar.version} is not the jar that it should be: its SHA-256 is {_sha256(arrived)}",
                    hint="the mirror in ~/.m2/settings.xml serves another one",
                )
            arrived.replace(folder / jar.file)


def _is(path: Path, jar: Jar) -> bool:
    return path.is_file() and _sha256(path) == jar.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
