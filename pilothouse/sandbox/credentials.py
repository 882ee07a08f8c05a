"""Who may talk to the sandbox: secrets made on its first start and kept in `<home>/credentials.json`.

The sandbox refuses strangers as the real systems do, so connectors meet wrong and expired credentials on a laptop. The
secrets are random for each sandbox: nothing to leak from a repository, and nobody can mistake them for defaults.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pilothouse.kernel.errors import ConfigError

FILE = "credentials.json"


@dataclass(frozen=True)
class SapCredentials:
    """A technical user of the SAP server, and an OAuth2 client of it."""

    user: str
    password: str
    client_id: str
    client_secret: str


@dataclass(frozen=True)
class SalesforceCredentials:
    """A user of the Salesforce server, and its connected app. The key pair signs and checks JWT bearer grants (PEM)."""

    username: str
    password: str
    security_token: str
    client_id: str
    client_secret: str
    private_key: str
    public_key: str


@dataclass(frozen=True)
class AdminCredentials:
    """The bearer token of the admin server: a web page in the same browser must not be able to switch faults on."""

    token: str


@dataclass(frozen=True)
class Credentials:
    """Everything that opens the sandbox."""

    sap: SapCredentials
    salesforce: SalesforceCredentials
    admin: AdminCredentials

    @classmethod
    def open(cls, home: Path) -> Self:
        """Those of this sandbox; made and written (owner only) where it has none yet."""
        path = home / FILE
        if not path.exists():
            home.mkdir(parents=True, exist_ok=True)
            _write(path, asdict(_made()))
        return cls.read(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Those of a file; ConfigError where it is missing or is not ours."""
        try:
            content: dict[str, dict[str, Any]] = json.loads(path.read_text())
            return cls(
                sap=SapCredentials(**content["sap"]),
                salesforce=SalesforceCredentials(**content["salesforce"]),
                admin=AdminCredentials(**content["admin"]),
            )
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({error.strerror})", hint="start the sandbox once: it writes the file") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{path}: not the credentials of a sandbox ({error!r})", hint="delete the file; the next start writes a new one"
            ) from error


def _made() -> Credentials:
    private, public = _key_pair()
    return Credentials(
        sap=SapCredentials("PILOTHOUSE", secrets.token_urlsafe(18), "pilothouse", secrets.token_urlsafe(32)),
        salesforce=SalesforceCredentials(
            username="integration@pilothouse.example",
            password=secrets.token_urlsafe(18),
            security_token=secrets.token_urlsafe(18),
            client_id=f"3MVG9{secrets.token_hex(32)}",
            client_secret=secrets.token_hex(32),
            private_key=private,
            public_key=public,
        ),
        admin=AdminCredentials(secrets.token_urlsafe(32)),
    )


def _key_pair() -> tuple[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def _write(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file, indent=2)
    draft.replace(path)
