"""A recursive-descent parser for the SOQL that data tools and integrations write.

It reads SELECT with fields of parents, aggregates and FIELDS(), WHERE with semi-joins, GROUP BY, HAVING, ORDER BY, LIMIT
and OFFSET. Subqueries over children, TYPEOF and date functions are refused as malformed, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, cast, get_args

from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.soql.syntax import (
    Aggregate,
    AllFields,
    Both,
    Comparison,
    Condition,
    DateLiteral,
    DateText,
    DateTimeText,
    Either,
    Function,
    Literals,
    Membership,
    Negation,
    Number,
    Operator,
    Order,
    Path,
    Select,
    Text,
)
from pilothouse.sandbox.salesforce.soql.tokens import Token, malformed, tokens

_CLAUSES: Final = ("USING", "WHERE", "WITH", "GROUP", "HAVING", "ORDER", "LIMIT", "OFFSET", "FOR")
_LITERALS: Final[dict[str, Callable[[str], Literals]]] = {
    "text": lambda text: Text(text[1:-1]),
    "number": Number,
    "date": DateText,
    "datetime": DateTimeText,
}
_DEEPEST: Final = 100  # parentheses; Python's own stack ends an order of magnitude later
LONGEST: Final = 100_000  # characters: Salesforce's own limit

T = TypeVar("T")


def parse(query: str) -> Select:
    """The tree of a query; ApiError MALFORMED_QUERY where it is none."""
    if len(query) > LONGEST:
        raise ApiError(400, "MALFORMED_QUERY", f"SOQL statements cannot be longer than {LONGEST} characters.")
    parser = _Parser(query)
    select = parser.select()
    parser.end()
    return select


class _Parser:
    def __init__(self, query: str) -> None:
        self._query = query
        self._tokens = list(tokens(query))
        self._at = 0
        self._depth = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def select(self, *, nested: bool = False) -> Select:
        self._word("SELECT")
        counting = self._counts_rows()
        items = () if counting else tuple(self._list(self._item))
        self._word("FROM")
        name = self._name()
        alias = None
        if self._next.kind == "name" and not self._next.is_word(*_CLAUSES):
            alias = self._take().text
        if self._accept_word("USING"):
            self._word("SCOPE")
            self._name()
        where = self._condition() if self._accept_word("WHERE") else None
        if self._accept_word("WITH"):
            self._word("SECURITY_ENFORCED", "USER_MODE", "SYSTEM_MODE")
        if nested:
            return Select(items=items, object_name=name.text, object_at=name.at, alias=alias, where=where)
        group: tuple[Path, ...] = ()
        if self._accept_word("GROUP"):
            self._word("BY")
            group = tuple(self._list(self._path))
        having = self._condition() if self._accept_word("HAVING") else None
        order = self._order()
        limit = self._whole() if self._accept_word("LIMIT") else None
        offset = self._whole() if self._accept_word("OFFSET") else 0
        if self._accept_word("FOR"):
            self._word("VIEW", "REFERENCE", "UPDATE")
        return Select(
            items=items, object_name=name.text, object_at=name.at, alias=alias,
            where=where, group=group, having=having, order=order, limit=limit, offset=offset,
        )  # fmt: skip

    def end(self) -> None:
        if self._next.kind != "end":
            raise self._unexpected()

    def _counts_rows(self) -> bool:
        ahead = self._tokens[self._at : self._at + 4]
        if (
            len(ahead) == 4
            and ahead[0].is_word("COUNT")
            and [token.text for token in ahead[1:3]] == ["(", ")"]
            and ahead[3].is_word("FROM")
        ):
            self._at += 3
            return True
        return False

    def _item(self) -> Path | Aggregate | AllFields:
        if self._next.text == "(":
            raise malformed(self._query, self._next.at, "subqueries over child records are not supported here")
        if self._next.is_word("FIELDS") and self._tokens[self._at + 1].text == "(":
            at = self._take().at
            self._mark("(")
            scope = self._word("ALL", "STANDARD", "CUSTOM").text.upper()
            self._mark(")")
            return AllFields(scope, at)  # type: ignore[arg-type]  # one of the three words
        return self._path_or_aggregate(aliased=True)

    def _path_or_aggregate(self, *, aliased: bool = False) -> Path | Aggregate:
        first = self._next
        if first.kind != "name" or self._tokens[self._at + 1].text != "(":
            return self._path()
        if not first.is_word(*get_args(Function)):
            raise malformed(self._query, first.at, f"unsupported function: {first.text}")
        self._take()
        self._mark("(")
        path = None if self._next.text == ")" and first.is_word("COUNT") else self._path()
        self._mark(")")
        alias = None
        if aliased and self._next.kind == "name" and not self._next.is_word("FROM"):
            alias = self._take().text
        return Aggregate(cast("Function", first.text.upper()), path, alias, first.at)

    def _path(self) -> Path:
        first = self._name()
        parts = [first.text]
        while self._accept("."):
            parts.append(self._name().text)
        return Path(tuple(parts), first.at)

    def _condition(self) -> Condition:
        """Terms joined by one kind of operator: Salesforce wants parentheses where AND meets OR."""
        first = self._term()
        if not self._next.is_word("AND", "OR"):
            return first
        word = self._next.text.upper()
        terms = [first]
        while self._next.is_word("AND", "OR"):
            if not self._next.is_word(word):
                raise self._unexpected()
            self._take()
            terms.append(self._term())
        return Both(tuple(terms)) if word == "AND" else Either(tuple(terms))

    def _term(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise malformed(self._query, self._next.at, "the condition is nested too deeply")
        try:
            if self._accept_word("NOT"):
                return Negation(self._term())
            if self._accept("("):
                inner = self._condition()
                self._mark(")")
                return inner
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Condition:
        left = self._path_or_aggregate()
        if isinstance(left, Path) and self._next.is_word("IN", "NOT"):
            negated = self._accept_word("NOT")
            self._word("IN")
            return Membership(left, negated, self._members())
        if self._accept_word("LIKE"):
            return Comparison(left, "LIKE", self._literal())
        operator = self._next
        if operator.kind != "operator":
            raise self._unexpected()
        self._take()
        return Comparison(left, cast("Operator", "!=" if operator.text == "<>" else operator.text), self._literal())

    def _members(self) -> tuple[Literals, ...] | Select:
        self._mark("(")
        members = self.select(nested=True) if self._next.is_word("SELECT") else tuple(self._list(self._literal))
        self._mark(")")
        return members

    def _literal(self) -> Literals:
        token = self._take()
        if token.kind in _LITERALS:
            return _LITERALS[token.kind](token.text)
        if token.is_word("NULL"):
            return None
        if token.is_word("TRUE", "FALSE"):
            return token.is_word("TRUE")
        if token.kind == "name":
            return DateLiteral(token.text.upper(), self._whole() if self._accept(":") else None)
        self._at -= 1
        raise self._unexpected()

    def _order(self) -> tuple[Order, ...]:
        if not self._accept_word("ORDER"):
            return ()
        self._word("BY")
        return tuple(self._list(self._order_term))

    def _order_term(self) -> Order:
        by = self._path_or_aggregate()
        descending = self._next.is_word("ASC", "DESC") and self._take().is_word("DESC")
        nulls_first = True
        if self._accept_word("NULLS"):
            nulls_first = self._word("FIRST", "LAST").is_word("FIRST")
        return Order(by, descending, nulls_first)

    def _list(self, element: Callable[[], T]) -> list[T]:
        found = [element()]
        while self._accept(","):
            found.append(element())
        return found

    def _whole(self) -> int:
        token = self._next
        if token.kind != "number" or not token.text.isdecimal():
            raise self._unexpected()
        return int(self._take().text)

    def _name(self) -> Token:
        if self._next.kind != "name":
            raise self._unexpected()
        return self._take()

    def _word(self, *words: str) -> Token:
        if not self._next.is_word(*words):
            raise self._unexpected(expecting=" or ".join(words))
        return self._take()

    def _accept_word(self, word: str) -> bool:
        if self._next.is_word(word):
            self._at += 1
            return True
        return False

    def _mark(self, mark: str) -> None:
        if not self._accept(mark):
            raise self._unexpected(expecting=f"'{mark}'")

    def _accept(self, mark: str) -> bool:
        if self._next.kind == "mark" and self._next.text == mark:
            self._at += 1
            return True
        return False

    def _take(self) -> Token:
        token = self._next
        if token.kind != "end":
            self._at += 1
        return token

    def _unexpected(self, expecting: str = "") -> ApiError:
        said = f"unexpected token: '{self._next.text}'"
        return malformed(self._query, self._next.at, f"{said}, expecting {expecting}" if expecting else said)
