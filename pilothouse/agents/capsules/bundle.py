"""Entries as one file that an auditor can check with nothing of ours but its public key: `deploy/verify_capsules.py`.

A zip with `manifests/<seq>-<digest>.json`, `signatures/<digest>`, `blobs/<digest>` and the public key. Of a chain any part can be
given away: what an entry says of the one before it is checked where both are in the file.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

from pilothouse.agents.capsules.capsule import Capsule, Digest, canonical
from pilothouse.agents.capsules.ledger import Ledger

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


def _named(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _MOMENT)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info
