"""Who somebody is, what they may approve, and how they prove it.

Principals are declared in pilothouse.toml, so that a change of who may approve is reviewed like any other. A token proves who one
is; only its hash is kept, and the hash is made with this platform's key and the holder's name: whoever can write into the database
can void a token, and make none. A login page would call `Principals.by_token` no differently.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pilothouse.agents.capsules import Signer
from pilothouse.kernel.database import Database
from pilothouse.kernel.database.schema import principals
from pilothouse.kernel.errors import AccessDenied
from pilothouse.kernel.events import Event, EventLog
from pilothouse.kernel.settings import PrincipalSettings

ADMIN: Final = "admin"  # the role that issues tokens, and may approve in place of any other


@dataclass(frozen=True)
class Principal:
    """Somebody who may approve: in which role, and up to which amount (None: any)."""

    name: str
    role: str
    limit: Decimal | None = None


class Principals:
    """Everybody who is declared, and the hashes of their tokens."""

    def __init__(self, database: Database, declared: Mapping[str, PrincipalSettings], signer: Signer) -> None:
        self._database = database
        self._signer = signer
        self._events = EventLog(database)
        self._declared = {name: Principal(name, settings.role, settings.limit) for name, settings in declared.items()}

    def __iter__(self) -> Iterator[Principal]:
        return iter(self._declared.values())

    def named(self, name: str) -> Principal:
        """A declared principal."""
        if name not in self._declared:
            raise AccessDenied(f"there is no principal '{name}'", hint=f"pilothouse.toml declares {', '.join(self._declared) or 'none'}")
        return self._declared[name]

    def authority(self, name: str, token: str | None) -> str:
        """Who issues or revokes the token of somebody; AccessDenied where they may not.

        An administrator may, and everybody may have their own replaced. The first administrator's is issued to whoever has the
        database's password and the signing key: they could make the row themselves.
        """
        asked = self.named(name)
        if token is None:
            if asked.role == ADMIN and not self._has_administrator():
                return "whoever set this up"
            raise AccessDenied(f"the token of {name} is issued by an administrator", hint=self._hint())
        principal = self.by_token(token)
        if principal.role != ADMIN and principal.name != name:
            raise AccessDenied(f"{principal.name} is {principal.role}, and issues no token but their own", hint=self._hint())
        return principal.name

    def issue(self, name: str, by: str) -> str:
        """A new token for somebody; the one before it is void. It is told once and cannot be found out again."""
        principal, token = self.named(name), secrets.token_urlsafe(32)
        row = {"name": name, "role": principal.role, "token_hash": self._hash(name, token), "disabled": False}
        with self._database.begin() as connection:
            connection.execute(insert(principals).values(row).on_conflict_do_update(index_elements=["name"], set_=row))
            self._events.append_in(connection, [Event("token.issued", name, {"by": by})])
        return token

    def revoke(self, name: str, by: str) -> bool:
        """Void somebody's token; whether there was one."""
        with self._database.begin() as connection:
            changed = connection.execute(sa.update(principals).where(principals.c.name == name).values(token_hash=None, disabled=True))
            self._events.append_in(connection, [Event("token.revoked", name, {"by": by})] if changed.rowcount else [])
            return changed.rowcount > 0

    def by_token(self, token: str) -> Principal:
        """Who holds a token; AccessDenied where nobody does, or where the holder is not declared any more."""
        with self._database.reading() as connection:
            query = sa.select(principals.c.name, principals.c.token_hash).where(
                principals.c.token_hash.is_not(None), ~principals.c.disabled
            )
            rows = connection.execute(query).all()
        found = next((row for row in rows if hmac.compare_digest(bytes(row.token_hash), self._hash(row.name, token))), None)
        if found is None:
            raise AccessDenied(
                "this token is nobody's", hint="set PILOTHOUSE_TOKEN to yours; an administrator issues one: `pilothouse token NAME`"
            )
        return self.named(found.name)

    def _has_administrator(self) -> bool:
        query = sa.select(principals.c.name).where(principals.c.token_hash.is_not(None), ~principals.c.disabled)
        with self._database.reading() as connection:
            holders: set[str] = set(connection.scalars(query))
        return any(each.role == ADMIN and each.name in holders for each in self)

    def _hint(self) -> str:
        administrators = [each.name for each in self if each.role == ADMIN]
        return f"ask {' or '.join(administrators)}" if administrators else f'declare somebody of role = "{ADMIN}" in pilothouse.toml'

    def _hash(self, name: str, token: str) -> bytes:
        """Of a token and whose it is, as only the holder of the key can make it."""
        # A token is 256 random bits: there is nothing to guess that a slow hash would protect.
        return hashlib.sha256(self._signer.sign(b"token\0" + name.encode() + b"\0" + token.encode())).digest()
