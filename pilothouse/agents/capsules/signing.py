"""The key that entries are signed with: Ed25519, in a file that only its owner may read."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pilothouse.kernel.errors import ConfigError


class Signer:
    """Signs, and checks signatures of the same key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def open(cls, path: Path) -> Signer:
        """The key in a file; where there is no file, a new key is made. Of two processes that make one, the first one's counts."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            made = Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(made)
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # the other one's key is as good
                os.link(draft, path)
            draft.unlink()
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{path}: no signing key can be read from it: {error}", hint="restore it from a backup") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"{path}: holds a key of another kind", hint="give an Ed25519 private key in PEM")
        return cls(key)

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes: who has it can check every signature."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, content: bytes) -> bytes:
        """64 bytes that only the holder of the key can make."""
        return self._key.sign(content)


def signed_by(public: bytes, content: bytes, signature: bytes) -> bool:
    """Whether a signature is that of this key over this content."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True
