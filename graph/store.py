"""The graph behind Bolt, through the official driver: ArcadeDB and Neo4j alike.

What the two do differently is levelled here, so that a query file need not know which one answers:

- ArcadeDB takes the access mode READ for a wish and writes nevertheless. So a text that is read for the first time runs in a
  transaction that is taken back, and is refused if the server says that it wrote; a text that is known to read is asked directly.
- Both give up on writers that meet (a deadlock, a page changed underneath, two MERGE of one new key). Such a transaction runs
  again, after a pause with full jitter, as long as our patience lasts; so does one that met a server just being restarted.
- Moments are UTC (`graph.values`), failures are errors of ours with a hint (`graph.translation`).
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from graph.translation import is_passing, translate
from graph.values import stored, told
from pilothouse.kernel.errors import ConfigError, GraphError

if TYPE_CHECKING:
    from neo4j import Driver, Result, Session

T = TypeVar("T")
Engine = Literal["arcadedb", "neo4j"]

USERS: Mapping[Engine, str] = {"arcadedb": "root", "neo4j": "neo4j"}
DATABASES: Mapping[Engine, str] = {"arcadedb": "pilothouse", "neo4j": "neo4j"}
BATCH = 2_000
_SCHEMES = tuple(f"{scheme}{security}://" for scheme in ("bolt", "neo4j") for security in ("", "+s", "+ssc"))
_PATIENCE = 30.0
_CONSTRAINT_ATTEMPTS = 8  # a MERGE of many new keys may meet a rival at several of them; a real violation costs less than a second
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 2.0
_CONNECT_PATIENCE = 5.0
_KNOWN_TEXTS = 2_000
# What ArcadeDB does not take back with the transaction: indexes and constraints, and subqueries with transactions of their own.
_OUTLIVES_ITS_TRANSACTION = re.compile(
    r"\s*(CYPHER\s+\S+\s+)?((EXPLAIN|PROFILE)\s+)?(CREATE|DROP|ALTER)\s+(OR\s+REPLACE\s+)?"
    r"(CONSTRAINT|INDEX|FULLTEXT|VECTOR|RANGE|TEXT|POINT|LOOKUP|DATABASE|USER)\b|.*\bIN\s+TRANSACTIONS\b",
    re.IGNORECASE | re.DOTALL,
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


class Graph:
    """An open graph. Threads may share it; `close` gives its connections back."""

    def __init__(self, driver: Driver, url: str, user: str, database: str, engine: Engine, patience: float) -> None:
        self.url = url
        self.user = user
        self.database = database
        self.engine: Engine = engine
        self._driver = driver
        self._patience = patience
        self._known_to_read: set[str] = set()

    @classmethod
    def open(
        cls, url: str, user: str = "", password: str = "", database: str = "", *, engine: Engine = "arcadedb", patience: float = _PATIENCE
    ) -> Graph:
        """A graph at a Bolt address. Nothing is sent before the first query; `check` asks whether it is there."""
        import neo4j

        if not url.startswith(_SCHEMES):
            raise ConfigError(
                f"graph.url = {url}: not a Bolt address", hint="give bolt://host:port, or neo4j+s://host for a cluster with TLS"
            )
        user, database = user or USERS[engine], database or DATABASES[engine]
        try:
            driver = neo4j.GraphDatabase.driver(
                url,
                auth=(user, password),
                user_agent="pilothouse",
                connection_timeout=_CONNECT_PATIENCE,
                connection_acquisition_timeout=patience,
                notifications_min_severity=neo4j.NotificationMinimumSeverity.OFF,
                telemetry_disabled=True,
            )
        except (neo4j.exceptions.DriverError, ValueError) as error:
            raise translate(error, url) from error
        return cls(driver, url, user, database, engine, patience)

    def __repr__(self) -> str:
        return f"Graph({self.where})"

    def __enter__(self) -> Graph:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def where(self) -> str:
        """Its address and database, for people."""
        return f"{self.url}/{self.database}"

    def close(self) -> None:
        """Give the connections back."""
        self._driver.close()

    def check(self) -> str:
        """What the server says it is; an error of ours, at once, where it does not answer, does not know us, or is another engine."""
        with self._translated():
            agent = str(self._driver.get_server_info().agent)
        found: Engine = "arcadedb" if "arcadedb" in agent.lower() else "neo4j"
        if found != self.engine:
            raise ConfigError(
                f"graph.engine = {self.engine}, but {self.url} is {agent}", hint=f"set PILOTHOUSE_GRAPH__ENGINE to {found}, or another url"
            )
        self.read("RETURN 1 AS one")
        return agent

    def read(self, query: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of an answer. GraphError where the query would change anything; nothing is changed then."""
        return self._persistent(query, lambda: list(self._rows(query, parameters)))

    def stream(self, query: str, /, **parameters: Any) -> Generator[dict[str, Any], None, None]:
        """The rows of an answer that is too large to hold, as the server finds them. A failure in mid answer is not retried."""
        with self._translated():
            yield from self._rows(query, parameters)

    def write(self, query: str, /, **parameters: Any) -> None:
        """Run a query that changes the graph, in one transaction: all of it or nothing."""
        sent = _stored(parameters)
        self._persistent(query, lambda: self._write(query, sent))

    def write_rows(self, query: str, rows: Iterable[Mapping[str, Any]], *, batch: int = BATCH, **parameters: Any) -> int:
        """Run `UNWIND $rows AS row <query>` over many rows, a transaction for each batch of them; how many rows that were.

        A batch is written wholly or not at all. After a crash the batches before it are there: let the query MERGE on a key, so that
        writing all again changes nothing.
        """
        written, waiting = 0, iter(rows)
        while chunk := list(islice(waiting, batch)):
            self.write(f"UNWIND $rows AS row {query}", rows=chunk, **parameters)
            written += len(chunk)
        return written

    def clear(self) -> None:
        """Remove every node, edge, index and constraint. Names of labels may stay; they mean nothing."""
        for entry in self.read("SHOW CONSTRAINTS"):
            self.write(f"DROP CONSTRAINT `{entry['name']}` IF EXISTS")
        for entry in self.read("SHOW INDEXES"):
            if entry["type"] != "LOOKUP":
                self.write(f"DROP INDEX `{entry['name']}` IF EXISTS")
        while self.read("MATCH (n) RETURN n LIMIT 1"):
            self.write("MATCH (n) WITH n LIMIT 10000 DETACH DELETE n")

    def settle(self) -> None:
        """Wait until every index is filled. ArcadeDB fills them at once; Neo4j does it behind our back."""
        if self.engine == "neo4j":
            self.read("CALL db.awaitIndexes($seconds)", seconds=int(self._patience))

    def _rows(self, query: str, parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        sent = _stored(parameters)
        known = self.engine == "neo4j" or query in self._known_to_read  # Neo4j holds to READ itself
        if not known and _OUTLIVES_ITS_TRANSACTION.match(_COMMENT.sub(" ", query)):
            raise _not_reading(query)
        with self._session(write=False) as session:
            if known:
                yield from self._plain(session.run(query, sent))
            else:
                yield from self._taken_back(session, query, sent)

    def _taken_back(self, session: Session, query: str, sent: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Run a text of which nobody knows yet whether it writes, so that what it wrote was never there."""
        with session.begin_transaction() as transaction:
            answer = transaction.run(query, sent)
            yield from self._plain(answer)
            summary = answer.consume()
            transaction.rollback()
        if summary.query_type != "r" or summary.counters.contains_updates:
            raise _not_reading(query)
        if len(self._known_to_read) < _KNOWN_TEXTS:
            self._known_to_read.add(query)

    def _plain(self, answer: Result) -> Iterator[dict[str, Any]]:
        zoneless_is_utc = self.engine == "arcadedb"
        names = answer.keys()
        for record in answer:
            yield {name: told(record[name], zoneless_is_utc=zoneless_is_utc) for name in names}

    def _write(self, query: str, sent: dict[str, Any]) -> None:
        with self._session(write=True) as session, session.begin_transaction() as transaction:
            transaction.run(query, sent).consume()
            transaction.commit()

    def _session(self, *, write: bool) -> Session:
        import neo4j

        mode = neo4j.WRITE_ACCESS if write else neo4j.READ_ACCESS
        return self._driver.session(database=self.database, default_access_mode=mode)

    def _persistent(self, query: str, attempt: Callable[[], T]) -> T:
        """Try until it succeeds, or fails for good, or our patience ends."""
        from neo4j.exceptions import ConstraintError, DriverError, Neo4jError

        deadline = time.monotonic() + self._patience
        tried = 0
        while True:
            tried += 1
            try:
                return attempt()
            except (DriverError, Neo4jError, OSError, TypeError, ValueError) as error:
                last = isinstance(error, ConstraintError) and tried >= _CONSTRAINT_ATTEMPTS
                pause = random.uniform(0, min(_FIRST_PAUSE * 2**tried, _LONGEST_PAUSE))  # noqa: S311 - spreads rivals, guards nothing
                if last or not is_passing(error, query) or time.monotonic() + pause > deadline:
                    raise translate(error, self.where) from error
                time.sleep(pause)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from neo4j.exceptions import DriverError, Neo4jError

        try:
            yield
        except (DriverError, Neo4jError, OSError) as error:
            raise translate(error, self.where) from error


def _stored(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: stored(value, f"${name}") for name, value in parameters.items()}


def _not_reading(query: str) -> GraphError:
    shown = " ".join(query.split())[:120]
    return GraphError(f"a reading query wants to write: {shown}", hint="what changes the graph goes through `write`")
