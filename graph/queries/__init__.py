"""Queries that have a name: one `.cypher` file each, whose head says what it takes and what it answers.

    // Cases of a firm that are not closed.
    // parameter firm: text -- id of the firm
    // parameter limit: integer = 10 -- how many
    // column number: text -- number of the case
    // column contact: text? -- who reported it; the question mark allows nothing
    MATCH ...

Both are held to: a parameter of another type, or an answer that is not what the head says, is an error and no surprise further on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from pilothouse.kernel.errors import ConfigError, GraphError

FOLDER = Path(__file__).parent
_KINDS: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (float, int),
    "boolean": (bool,),
    "date": (date,),
    "moment": (datetime,),
    "texts": (list,),
}
_DECLARED = re.compile(r"(parameter|column) (\w+): (\w+)(\?)?(?: = (.+?))?(?: -- (.+))?")


@dataclass(frozen=True)
class Value:
    """A parameter or a column of an answer."""

    name: str
    kind: str
    description: str
    optional: bool = False
    default: Any = None


@dataclass(frozen=True)
class Query:
    """A text of Cypher with what it takes and what it answers."""

    name: str
    description: str
    parameters: tuple[Value, ...]
    columns: tuple[Value, ...]
    text: str

    def given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as the query takes them, with defaults; texts become what is asked for. ConfigError names what does not fit."""
        known = {value.name for value in self.parameters}
        for name in values.keys() - known:
            raise ConfigError(f"{self.name}: no parameter '{name}'", hint=f"it takes {', '.join(sorted(known)) or 'none'}")
        for value in self.parameters:
            if value.name not in values and value.default is None and not value.optional:
                raise ConfigError(f"{self.name}: parameter '{value.name}' is missing", hint=f"{value.kind}: {value.description}")
        return {value.name: self._given(value, values.get(value.name, value.default)) for value in self.parameters}

    def checked(self, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """The answer, once it is what the head says."""
        for row in rows:
            if list(row) != [column.name for column in self.columns]:
                raise GraphError(f"{self.name} answers {', '.join(row)}", hint=f"its head says {', '.join(c.name for c in self.columns)}")
            for column in self.columns:
                value = row[column.name]
                if not (value is None and column.optional) and not _is(value, column.kind):
                    raise GraphError(
                        f"{self.name}: {column.name} is {value!r}", hint=f"its head says {column.kind}: correct it, or the query"
                    )
        return rows

    def _given(self, value: Value, given: Any) -> Any:
        if given is None and value.optional:
            return None
        try:
            found = _parsed(given, value.kind) if isinstance(given, str) else given
        except ValueError:
            found = None
        if not _is(found, value.kind):
            raise ConfigError(f"{self.name}: {value.name} = {given!r} is no {value.kind}", hint=value.description or "correct it")
        return found


def parsed(name: str, text: str) -> Query:
    """A file as a query; ConfigError where its head cannot be understood."""
    head = [line.removeprefix("//").strip() for line in text.splitlines() if line.startswith("//")]
    declared = {"parameter": list[Value](), "column": list[Value]()}
    described: list[str] = []
    for number, line in enumerate(head, 1):
        match = _DECLARED.fullmatch(line)
        if match is None:
            if line.partition(" ")[0] in declared:
                raise ConfigError(f"{name}.cypher, line {number}: '{line}'", hint="write `// column name: text -- what it is`")
            described.append(line)
            continue
        what, called, kind, optional, default, description = match.groups()
        if kind not in _KINDS:
            raise ConfigError(f"{name}.cypher, line {number}: no type '{kind}'", hint=f"there are {', '.join(_KINDS)}")
        given = None if default is None else json.loads(default)
        declared[what].append(Value(called, kind, description or "", bool(optional), given))
    if not declared["column"]:
        raise ConfigError(f"{name}.cypher: its head names no column", hint="write `// column name: text -- what it is` for each")
    return Query(name, " ".join(described), tuple(declared["parameter"]), tuple(declared["column"]), text)


@cache
def queries(folder: Path = FOLDER) -> Mapping[str, Query]:
    """Every query by its name."""
    return {path.stem: parsed(path.stem, path.read_text()) for path in sorted(folder.glob("*.cypher"))}


def called(name: str) -> Query:
    """A query by its name."""
    if name not in queries():
        raise ConfigError(f"no query '{name}'", hint=f"there are {', '.join(queries())}")
    return queries()[name]


def _parsed(text: str, kind: str) -> Any:
    if kind == "date":
        return date.fromisoformat(text)
    if kind == "moment":
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if kind in {"integer", "number", "boolean", "texts"}:
        return json.loads(text)
    return text


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, datetime):
        return kind == "moment"
    return isinstance(value, _KINDS[kind])
