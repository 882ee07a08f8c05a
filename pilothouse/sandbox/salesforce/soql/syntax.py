"""The tree of a SOQL query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "LIKE"]
Function = Literal["COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX"]

_ESCAPES = {"n": "\n", "N": "\n", "r": "\r", "R": "\r", "t": "\t", "T": "\t", "b": "\b", "B": "\b", "f": "\f", "F": "\f"}


@dataclass(frozen=True)
class Path:
    """A field, perhaps of a parent: `Account.Owner.Name`."""

    parts: tuple[str, ...]
    at: int

    def __str__(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True)
class Aggregate:
    """`SUM(Amount) total`; a COUNT without a path counts rows."""

    function: Function
    path: Path | None
    alias: str | None
    at: int


@dataclass(frozen=True)
class AllFields:
    """`FIELDS(ALL)`, `FIELDS(STANDARD)` or `FIELDS(CUSTOM)`."""

    scope: Literal["ALL", "STANDARD", "CUSTOM"]
    at: int


@dataclass(frozen=True)
class Text:
    """A quoted string as it was written between its quotes."""

    raw: str

    @property
    def value(self) -> str:
        """The string it stands for."""
        return self._unescaped(keep="")

    @property
    def pattern(self) -> str:
        """The LIKE pattern it stands for, in which `\\%` and `\\_` stay escaped."""
        return self._unescaped(keep="%_\\")

    def _unescaped(self, keep: str) -> str:
        parts: list[str] = []
        letters = iter(self.raw)
        for letter in letters:
            if letter != "\\":
                parts.append(letter)
                continue
            following = next(letters, "")
            parts.append("\\" + following if following in keep else _ESCAPES.get(following, following))
        return "".join(parts)


@dataclass(frozen=True)
class Number:
    """A number as it was written."""

    text: str


@dataclass(frozen=True)
class DateText:
    """`2026-01-31`."""

    text: str


@dataclass(frozen=True)
class DateTimeText:
    """`2026-01-31T10:00:00Z`."""

    text: str


@dataclass(frozen=True)
class DateLiteral:
    """`TODAY`, `LAST_N_DAYS:30`."""

    name: str
    count: int | None


Literals = Text | Number | DateText | DateTimeText | DateLiteral | bool | None


@dataclass(frozen=True)
class Comparison:
    """`Amount >= 100`."""

    left: Path | Aggregate
    operator: Operator
    right: Literals


@dataclass(frozen=True)
class Membership:
    """`StageName IN ('Closed Won', 'Closed Lost')`, or IN a semi-join."""

    left: Path
    negated: bool
    members: tuple[Literals, ...] | Select


@dataclass(frozen=True)
class Both:
    """All terms hold."""

    terms: tuple[Condition, ...]


@dataclass(frozen=True)
class Either:
    """One term holds."""

    terms: tuple[Condition, ...]


@dataclass(frozen=True)
class Negation:
    """The term does not hold."""

    term: Condition


Condition = Comparison | Membership | Both | Either | Negation


@dataclass(frozen=True)
class Order:
    """One ORDER BY term. Salesforce puts nulls first unless it is told otherwise, also when descending."""

    by: Path | Aggregate
    descending: bool
    nulls_first: bool


@dataclass(frozen=True, kw_only=True)
class Select:
    """One query. `items` is empty for `SELECT COUNT()`."""

    items: tuple[Path | Aggregate | AllFields, ...]
    object_name: str
    object_at: int
    alias: str | None = None
    where: Condition | None = None
    group: tuple[Path, ...] = ()
    having: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
