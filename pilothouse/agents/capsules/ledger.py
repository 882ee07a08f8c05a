"""The chain of entries: appended in the transaction of whatever they are about, never changed, checked to the last bit.

Blobs lie beside the entries in the operational database, each once, so that a decision and all that it saw become durable in one
commit: there is no moment in which one exists without the other. An entry knows the one before it, so appending is one writer at
a time; a lock that ends with the transaction sees to it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from pilothouse.agents.capsules.capsule import Capsule, Digest, Draft, Kind, canonical, digest, manifest
from pilothouse.agents.capsules.reading import SHOWN, Damage, asked_for, the_one, whole
from pilothouse.agents.capsules.signing import Signer, signed_by
from pilothouse.kernel.database import Database
from pilothouse.kernel.database.schema import capsule_blobs, capsules
from pilothouse.kernel.errors import AgentError

_DAMAGED: Final = "restore the operational database from a backup; `pilothouse verify` lists all damage"
_PAGE: Final = 500  # entries
_LOCK: Final = 0x504C43  # of the chain's end
_MANY: Final = 2_000  # blobs in one query


class Ledger:
    """The entries of one operational database."""

    def __init__(self, database: Database, signer: Signer) -> None:
        self._database = database
        self._signer = signer

    @property
    def public_key(self) -> bytes:
        """The key that checks every signature."""
        return self._signer.public

    def append(self, drafts: Sequence[Draft]) -> list[Capsule]:
        """Remember these, in this order, all or none."""
        with self._database.begin() as connection:
            return self.append_within(connection, drafts)

    def append_within(self, connection: sa.Connection, drafts: Sequence[Draft]) -> list[Capsule]:
        """The same as part of a transaction that does more: what it does and what is remembered of it stand or fall together."""
        if not drafts:
            return []
        self.lock(connection)
        last = connection.execute(sa.select(capsules.c.seq, capsules.c.digest).order_by(capsules.c.seq.desc()).limit(1)).first()
        seq, previous = (0, None) if last is None else (int(last.seq), Digest(last.digest.hex()))
        made: list[Capsule] = []
        blobs: dict[bytes, bytes] = {}
        for draft in drafts:
            seq += 1
            said = manifest(draft, seq=seq, previous=previous)
            content = canonical(said)
            previous = digest(content)
            identity = bytes.fromhex(previous)
            blobs |= {identity: content, **{bytes.fromhex(digest(blob)): blob for blob in draft.blobs.values()}}
            made.append(Capsule(seq=seq, digest=previous, manifest=said, signature=self._signer.sign(identity)))
        # In order of the digests, so that two transactions that bring the same blobs do not wait for each other in a circle.
        rows = [{"digest": key, "content": blobs[key]} for key in sorted(blobs)]
        connection.execute(insert(capsule_blobs).on_conflict_do_nothing(), rows)
        connection.execute(sa.insert(capsules), [_row(capsule) for capsule in made])
        return made

    @staticmethod
    def lock(connection: sa.Connection) -> None:
        """Keep others from appending until the transaction ends: for who must know what is there before he appends."""
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))

    def get(self, named: str) -> Capsule:
        """An entry by its digest or by the beginning of it; AgentError where there is none, or more than one."""
        wanted = asked_for(named)
        return the_one(wanted, list(self._read(sa.func.encode(capsules.c.digest, "hex").startswith(wanted), most=2)))

    def these(self, named: Collection[Digest]) -> list[Capsule]:
        """The entries of whole digests that are there, the oldest first."""
        return list(self._read(capsules.c.digest.in_([bytes.fromhex(each) for each in named])))

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
        """Entries, the newest first. `action` is what a decision's output says."""
        conditions = [
            *([capsules.c.kind == kind] if kind else []),
            *([capsules.c.subject == subject] if subject else []),
            *([capsules.c.about == bytes.fromhex(about)] if about else []),
            *([capsules.c.agent == agent] if agent else []),
            *([capsules.c.at >= since] if since else []),
        ]
        if not action:
            return self._read(sa.and_(sa.true(), *conditions), most=most, newest=True)
        return islice((each for each in self._paged(conditions) if each.action == action), most)

    def _paged(self, conditions: Sequence[sa.ColumnElement[bool]]) -> Iterator[Capsule]:
        """Entries, the newest first, read as far as somebody looks: what they say is known here alone, not in the database."""
        older: sa.ColumnElement[bool] = sa.true()
        while page := [*self._read(sa.and_(older, *conditions), most=_PAGE, newest=True)]:
            yield from page
            older = capsules.c.seq < page[-1].seq

    def after(self, seq: int, *, kind: Kind, most: int) -> list[Capsule]:
        """The next entries of a kind after one, the oldest first: for whoever follows the chain."""
        return list(self._read(sa.and_(capsules.c.seq > seq, capsules.c.kind == kind), most=most))

    def blob(self, named: Digest) -> bytes:
        """A content by its digest; AgentError where it is missing or is no longer what was stored."""
        with self._database.reading() as connection:
            content = connection.scalar(sa.select(capsule_blobs.c.content).where(capsule_blobs.c.digest == bytes.fromhex(named)))
        return whole(named, None if content is None else bytes(content), _DAMAGED)

    def blobs(self, named: Collection[Digest]) -> dict[Digest, bytes]:
        """Contents by their digests, many at a time; AgentError where one is missing or is no longer what was stored."""
        wanted = sorted(set(named))
        found: dict[Digest, bytes] = {}
        with self._database.reading() as connection:
            for start in range(0, len(wanted), _MANY):
                some = [bytes.fromhex(each) for each in wanted[start : start + _MANY]]
                rows = connection.execute(sa.select(capsule_blobs).where(capsule_blobs.c.digest.in_(some)))
                found |= {Digest(row.digest.hex()): bytes(row.content) for row in rows}
        return {each: whole(each, found.get(each), _DAMAGED) for each in wanted}

    def head(self) -> Digest | None:
        """The newest digest, which vouches for all others. Whoever keeps it elsewhere can tell that none was cut off."""
        with self._database.reading() as connection:  # by its row alone: damage is told by `verify`
            last = connection.scalar(sa.select(capsules.c.digest).order_by(capsules.c.seq.desc()).limit(1))
        return None if last is None else Digest(last.hex())

    def count(self) -> int:
        """How many entries there are."""
        with self._database.reading() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(capsules)) or 0)

    def verify(self, *, kept_head: Digest | None = None) -> Iterator[Damage]:
        """Everything that is not as it was written. `kept_head` is a digest that was kept elsewhere and must be in the chain."""
        previous: str | None = None
        expected, seen_head = 1, kept_head is None
        named: dict[str, Damage] = {}  # what is to be said of a blob that is not whole
        with self._database.begin() as connection:
            for row in connection.execution_options(yield_per=500).execute(_JOINED.order_by(capsules.c.seq)):
                if row.seq != expected:
                    yield Damage(expected, f"{row.seq - expected} entries are missing")
                objections = list(self._objections(row, previous))
                yield from (Damage(row.seq, what) for what in objections)
                if row.content is not None and digest(row.content) == row.digest.hex():
                    for name, blob in json.loads(row.content)["blobs"].items():
                        named.setdefault(blob, Damage(row.seq, f"blob {name}"))
                previous, expected = row.digest.hex(), row.seq + 1
                seen_head = seen_head or previous == kept_head
        if not seen_head:
            yield Damage(expected, f"entry {str(kept_head)[:SHOWN]} is missing: the end of the chain was cut off or replaced")
        yield from self._damaged_blobs(named)

    def _objections(self, row: Any, previous: str | None) -> Iterator[str]:
        """What is wrong with one entry as it is stored."""
        if row.content is None or digest(row.content) != row.digest.hex():
            yield f"its manifest {'is missing' if row.content is None else 'was changed'}"
            return
        said = json.loads(row.content)
        if said["previous"] != previous:
            yield "it does not follow the entry before it"
        if not signed_by(self._signer.public, row.digest, row.signature):
            yield "its signature is not ours"
        told = _row(Capsule(seq=said["seq"], digest=Digest(row.digest.hex()), manifest=said, signature=row.signature))
        for name in _COPIED:
            if getattr(row, name) != told[name]:
                yield f"its {name} was changed"

    def _damaged_blobs(self, named: Mapping[str, Damage]) -> Iterator[Damage]:
        """Blobs that are missing or changed, told at the first entry that names them."""
        whole: dict[str, bool] = {}
        with self._database.begin() as connection:
            for row in connection.execution_options(yield_per=500).execute(sa.select(capsule_blobs)):
                whole[row.digest.hex()] = digest(row.content) == row.digest.hex()
        for blob, damage in named.items():
            if not whole.get(blob, False):
                yield Damage(damage.seq, f"{damage.what} {'was changed' if blob in whole else 'is missing'}")

    def _read(self, condition: sa.ColumnElement[bool], *, most: int | None = None, newest: bool = False) -> Iterator[Capsule]:
        order = capsules.c.seq.desc() if newest else capsules.c.seq
        with self._database.reading() as connection:
            rows = connection.execute(_JOINED.where(condition).order_by(order).limit(most)).all()
        for row in rows:
            if row.content is None or digest(row.content) != row.digest.hex():
                raise AgentError(
                    f"capsule {row.digest.hex()[:SHOWN]}: its manifest {'is missing' if row.content is None else 'was changed'}",
                    hint=_DAMAGED,
                )
            yield Capsule(seq=row.seq, digest=Digest(row.digest.hex()), manifest=json.loads(row.content), signature=bytes(row.signature))


_JOINED: Final = sa.select(capsules, capsule_blobs.c.content).select_from(
    capsules.outerjoin(capsule_blobs, capsules.c.digest == capsule_blobs.c.digest)
)
_COPIED: Final = ("seq", "previous", "kind", "subject", "about", "agent", "agent_version", "synthetic", "at")


def _row(capsule: Capsule) -> dict[str, Any]:
    """An entry as its row: what is searched by, copied out of the manifest."""
    said = capsule.manifest
    return {
        "seq": capsule.seq,
        "digest": bytes.fromhex(capsule.digest),
        "previous": bytes.fromhex(said["previous"]) if said["previous"] else None,
        "kind": said["kind"],
        "subject": said["subject"],
        "about": bytes.fromhex(said["about"]) if said["about"] else None,
        "agent": said["agent"],
        "agent_version": said["agent_version"],
        "synthetic": said["synthetic"],
        "at": datetime.fromisoformat(said["at"]),
        "signature": capsule.signature,
    }
