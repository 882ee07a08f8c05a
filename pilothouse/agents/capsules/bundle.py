"""Entries as one file that an auditor can check with nothing of ours but its public key: `deploy/verify_capsules.py`.

A zip with `manifests/<seq>-<digest>.json`, `signatures/<digest>`, `blobs/<digest>` and the public key. Of a chain any part can be
given away: what an entry says of the one before it is checked where both are in the file.

`Bundle` reads such a file as `Ledger` reads the database, so that whoever has the file alone can look at its decisions and make
them again. It trusts the file no further than its digests go; `verify` says how far that is.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from pilothouse.agents.capsules.capsule import Capsule, Digest, Kind, canonical, digest
from pilothouse.agents.capsules.ledger import Ledger
from pilothouse.agents.capsules.reading import SHOWN, Damage, asked_for, the_one, whole
from pilothouse.agents.capsules.signing import signed_by
from pilothouse.kernel.errors import AgentError

_DAMAGED: Final = "ask for the bundle once more; `pilothouse verify --bundle` lists all damage"
_KEY_BYTES: Final = 32
_MANIFEST: Final = re.compile(r"manifests/(\d{12})-([0-9a-f]{64})\.json")
_MOMENT = (1980, 1, 1, 0, 0, 0)  # a zip's own: the same entries make the same file


def write(ledger: Ledger, capsules: Iterable[Capsule], file: Path) -> int:
    """Write these entries with everything they name; returns how many there are. The file is there as a whole or not at all."""
    draft = file.with_name(f".{file.name}.new")
    blobs: dict[Digest, None] = {}
    count = 0
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(_named("public-key"), ledger.public_key.hex())
            for capsule in sorted(capsules, key=lambda each: each.seq):
                archive.writestr(_named(f"manifests/{capsule.seq:012d}-{capsule.digest}.json"), canonical(capsule.manifest))
                archive.writestr(_named(f"signatures/{capsule.digest}"), capsule.signature.hex())
                blobs |= dict.fromkeys(capsule.blobs.values())
                count += 1
            for named in sorted(blobs):
                archive.writestr(_named(f"blobs/{named}"), ledger.blob(named))
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    return count


class Bundle:
    """The entries of a file. `key` is the public key to trust, in hexadecimal digits; the file brings one, which proves no more than
    that all its entries were signed by the same."""

    def __init__(self, file: Path, key: str = "") -> None:
        self._file = file
        try:
            with zipfile.ZipFile(file) as archive:
                self._content = {name: archive.read(name) for name in archive.namelist()}
            self._public_key = _public_key(key or self._content["public-key"].decode())
        except FileNotFoundError as error:
            raise AgentError(f"{file}: there is no such file", hint="`pilothouse export` writes bundles") from error
        except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise AgentError(
                f"{file}: cannot be read as a bundle of capsules: {error}", hint="ask for it once more, or check the key that was given"
            ) from error
        self._places = {name: match for name in sorted(self._content) if (match := _MANIFEST.fullmatch(name))}

    @property
    def public_key(self) -> bytes:
        """The key that checks every signature."""
        return self._public_key

    def head(self) -> Digest | None:
        """The newest digest in the file."""
        return next((Digest(match[2]) for match in reversed(self._places.values())), None)

    def count(self) -> int:
        """How many entries it holds."""
        return len(self._places)

    def get(self, named: str) -> Capsule:
        """An entry by its digest or by the beginning of it; AgentError where there is none, or more than one."""
        wanted = asked_for(named)
        return the_one(wanted, [self._capsule(name) for name, match in self._places.items() if match[2].startswith(wanted)])

    def entries(
        self,
        *,
        kind: Kind | None = None,
        subject: str = "",
        about: Digest | None = None,
        agent: str = "",
        action: str = "",
        since: datetime | None = None,
        most: int | None = None,
    ) -> Iterator[Capsule]:
        """Entries, the newest first."""
        for found in map(self._capsule, reversed(self._places)):
            said = found.manifest
            wanted = (
                (not kind or found.kind == kind)
                and (not subject or said["subject"] == subject)
                and (not about or said["about"] == about)
                and (not agent or said["agent"] == agent)
                and (not action or found.action == action)
                and (not since or datetime.fromisoformat(said["at"]) >= since)
            )
            if wanted and most != 0:
                most = None if most is None else most - 1
                yield found

    def blob(self, named: Digest) -> bytes:
        """A content by its digest; AgentError where it is missing or is no longer what was stored."""
        return whole(named, self._content.get(f"blobs/{named}"), _DAMAGED, f"{self._file}: ")

    def verify(self, *, kept_head: Digest | None = None) -> Iterator[Damage]:
        """Everything that is not as it was written. What an entry says of the one before it is checked where both are here."""
        before: tuple[int, str] | None = None
        for name, match in self._places.items():
            seq, identity, content = int(match[1]), match[2], self._content[name]
            if digest(content) != identity:
                yield Damage(seq, "its manifest was changed")
                continue
            said = json.loads(content)
            if said["seq"] != seq:
                yield Damage(seq, f"it says that it is entry {said['seq']}")
            if before is not None and before[0] + 1 == seq and said["previous"] != before[1]:
                yield Damage(seq, "it does not follow the entry before it")
            if not signed_by(self._public_key, bytes.fromhex(identity), self._signature(identity)):
                yield Damage(seq, f"it is not signed by {self._public_key.hex()[:SHOWN]}")
            for blob, address in said["blobs"].items():
                kept = self._content.get(f"blobs/{address}")
                if kept is None or digest(kept) != address:
                    yield Damage(seq, f"blob {blob} {'is missing' if kept is None else 'was changed'}")
            before = seq, identity
        if kept_head and not any(match[2] == kept_head for match in self._places.values()):
            yield Damage(before[0] + 1 if before else 1, f"entry {kept_head[:SHOWN]} is missing")

    def _signature(self, identity: str) -> bytes:
        try:
            return bytes.fromhex(self._content.get(f"signatures/{identity}", b"").decode())
        except ValueError:
            return b""

    def _capsule(self, name: str) -> Capsule:
        match, content = self._places[name], self._content[name]
        if digest(content) != match[2]:
            raise AgentError(
                f"{self._file}: capsule {match[2][:SHOWN]}: its manifest was changed",
                hint=_DAMAGED,
            )
        return Capsule(seq=int(match[1]), digest=Digest(match[2]), manifest=json.loads(content), signature=self._signature(match[2]))


def _public_key(digits: str) -> bytes:
    found = bytes.fromhex(digits)
    if len(found) != _KEY_BYTES:
        raise ValueError(f"'{digits[:SHOWN]}' is no public key")
    return found


def _named(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _MOMENT)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info
