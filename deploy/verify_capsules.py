#!/usr/bin/env python3
"""Check a bundle of Pilothouse capsules with Python's standard library alone.

    python3 verify_capsules.py BUNDLE.zip [--key PUBLIC_KEY_IN_HEX] [--head DIGEST]

It tells whether every manifest and every blob is what its digest says, whether the entries follow one another, and whether all of
them were signed by one key. The bundle brings a public key; give `--key` to check against one that you were given another way, and
`--head` to make sure that a digest you kept is among the entries. Nothing of Pilothouse is imported, so nothing of it is trusted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import zipfile
import zlib

# Ed25519 as RFC 8032 defines it: a curve over the integers modulo P, a base point of order L, points in extended coordinates.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]


def add(p: Point, q: Point) -> Point:
    """The sum of two points."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number: int, point: Point) -> Point:
    """A point added to itself so many times."""
    total = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def decoded(content: bytes) -> Point | None:
    """The point that 32 bytes stand for; None where they stand for none."""
    y = int.from_bytes(content, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = decoded((4 * pow(5, P - 2, P) % P).to_bytes(32, "little")) or (0, 1, 1, 0)


def signed(key: bytes, content: bytes, signature: bytes) -> bool:
    """Whether a signature over a content is that of the key."""
    point, r = (decoded(key), decoded(signature[:32])) if len(key) == 32 and len(signature) == 64 else (None, None)
    s = int.from_bytes(signature[32:], "little")
    if point is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + content).digest(), "little") % L
    left, right = times(s, BASE), add(r, times(h, point))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


def digest(content: bytes) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def damage(archive: zipfile.ZipFile, key: str, head: str) -> tuple[list[str], int, int]:
    """Everything that is wrong with a bundle, in words; how many entries and blobs it holds."""
    names = sorted(archive.namelist())
    key = key or archive.read("public-key").decode()
    manifests = [name for name in names if name.startswith("manifests/")]
    blobs = {name[6:] for name in names if name.startswith("blobs/")}
    found: list[str] = []
    named: set[str] = set()
    before: tuple[int, str] | None = None
    for name in manifests:
        match = re.fullmatch(r"manifests/(\d{12})-([0-9a-f]{64})\.json", name)
        if match is None:
            found.append(f"{name}: not the name of a manifest")
            continue
        seq, identity, content = int(match[1]), match[2], archive.read(name)
        if digest(content) != identity:
            found.append(f"entry {seq}: its manifest was changed")
            continue
        said = json.loads(content)
        if said["seq"] != seq:
            found.append(f"entry {seq}: it says that it is entry {said['seq']}")
        if before is not None and before[0] + 1 == seq and said["previous"] != before[1]:
            found.append(f"entry {seq}: it does not follow the entry before it")
        signature = f"signatures/{identity}"
        if signature not in names or not signed(
            bytes.fromhex(key), bytes.fromhex(identity), bytes.fromhex(archive.read(signature).decode())
        ):
            found.append(f"entry {seq}: it is not signed by {key[:12]}")
        for blob, address in said["blobs"].items():
            named.add(address)
            if address not in blobs:
                found.append(f"entry {seq}: blob {blob} is missing")
        before = seq, identity
    found += [f"blob {address}: it was changed" for address in sorted(blobs) if digest(archive.read(f"blobs/{address}")) != address]
    found += [f"blob {address}: no entry names it" for address in sorted(blobs - named)]
    if head and not any(head in name for name in manifests):
        found.append(f"entry {head[:12]} is missing")
    return found, len(manifests), len(blobs)


def main() -> int:
    """Check one bundle; the exit code is 0 where all is as it was written, 1 where something is not, 2 where it cannot be read."""
    parser = argparse.ArgumentParser(description="Check a bundle of Pilothouse capsules.")
    parser.add_argument("bundle")
    parser.add_argument("--key", default="", help="the public key to trust, in hexadecimal digits")
    parser.add_argument("--head", default="", help="a digest that must be among the entries")
    given = parser.parse_args()
    try:
        with zipfile.ZipFile(given.bundle) as archive:
            found, entries, blobs = damage(archive, given.key, given.head)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        print(f"{given.bundle}: cannot be read as a bundle of capsules: {error}", file=sys.stderr)
        return 2
    for line in found:
        print(line)
    print(f"{entries} entries, {blobs} blobs: {'all as written' if not found else f'{len(found)} things are not as they were written'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
