"""Cypher as tokens and clauses: as much of its grammar as patterns and scopes need."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pilothouse.kernel.errors import ConfigError

_TOKEN = re.compile(
    r"""(?P<space>(?:\s|//[^\n]*|/\*.*?\*/)*)
        (?:(?P<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|(?P<quoted>`[^`]*`)|(?P<parameter>\$\w+)|(?P<word>[^\W\d]\w*)
        |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<sign><=|>=|<>|=~|\.\.|\+=|\|\||.)|$)""",
    re.VERBOSE | re.DOTALL,
)
_CLAUSES = frozenset(
    {"MATCH", "WHERE", "WITH", "RETURN", "UNWIND", "UNION", "CALL", "CREATE", "MERGE", "SET", "DELETE", "DETACH", "REMOVE"}
)
_CLAUSES |= {"FOREACH", "LOAD", "OPTIONAL", "DROP", "SHOW"}
_BEFORE_NAMES = frozenset({":", ".", "|"})  # a word after one of these is a label, a type or a property, whatever it spells
_OPENS, _CLOSES = frozenset("([{"), frozenset(")]}")


@dataclass(frozen=True)
class Token:
    """One word, sign, text or parameter, with the white space before it."""

    kind: str
    text: str
    space: str = " "

    @property
    def word(self) -> str:
        """A keyword or a function, whatever its case; nothing for what is none."""
        return self.text.upper() if self.kind == "word" else ""

    @property
    def name(self) -> str:
        """As an identifier, without the quotes around it."""
        return self.text.strip("`") if self.kind in {"word", "quoted", "name"} else ""


@dataclass(frozen=True)
class Clause:
    """A clause by its keyword, and what follows."""

    keyword: str
    body: tuple[Token, ...]


def tokens(query: str) -> list[Token]:
    """The text as tokens; ConfigError where it ends inside of a text."""
    found: list[Token] = []
    place = 0
    while place < len(query):
        match = _TOKEN.match(query, place)
        assert match is not None
        place = match.end()
        if match.lastgroup and match.lastgroup != "space":
            text = match.group(match.lastgroup)
            if text in {"'", '"', "`"}:
                line = query.count("\n", 0, match.start(match.lastgroup)) + 1
                raise ConfigError(f"line {line}: a text is not ended", hint=f"close it with {text}")
            after = found[-1].text if found else ""
            kind = "name" if match.lastgroup == "word" and after in _BEFORE_NAMES else match.lastgroup
            found.append(Token(kind, text, match.group("space")))
    return found


def joined(some: Sequence[Token]) -> str:
    """Tokens as text again."""
    return "".join((" " if "//" in token.space or "/*" in token.space else token.space) + token.text for token in some)


def clauses(some: Sequence[Token]) -> Iterator[Clause]:
    """The clauses of a query, in order."""
    keyword, body, depth = "", list[Token](), 0
    for place, token in enumerate(some):
        before = some[place - 1].word if place else ""
        begins = depth == 0 and token.word in _CLAUSES and not (token.word == "WITH" and before in {"STARTS", "ENDS"})
        if begins and not (token.word == "MATCH" and keyword == "OPTIONAL" and not body):
            if keyword or body:
                yield Clause(keyword, tuple(body))
            keyword, body = token.word, []
        elif begins:
            keyword = "OPTIONAL MATCH"
        else:
            body.append(token)
        depth += (token.text in _OPENS and token.kind == "sign") - (token.text in _CLOSES and token.kind == "sign")
    yield Clause(keyword, tuple(body))


def parts(some: Sequence[Token], at: str = ",") -> Iterator[list[Token]]:
    """What stands between commas (or another sign) that are not inside of brackets."""
    depth, part = 0, list[Token]()
    for token in some:
        if token.text == at and token.kind == "sign" and depth == 0:
            yield part
            part = []
        else:
            part.append(token)
        depth += (token.text in _OPENS and token.kind == "sign") - (token.text in _CLOSES and token.kind == "sign")
    if part:
        yield part


def at_the_top(some: Sequence[Token]) -> Iterator[tuple[int, Token]]:
    """What is not inside of brackets, with its place."""
    depth = 0
    for place, token in enumerate(some):
        if depth == 0:
            yield place, token
        depth += (token.text in _OPENS and token.kind == "sign") - (token.text in _CLOSES and token.kind == "sign")


def closing(some: Sequence[Token], opening: int) -> int:
    """Where the bracket that opens there is closed; ConfigError where it is not."""
    depth = 0
    for place in range(opening, len(some)):
        if some[place].kind == "sign":
            depth += (some[place].text in _OPENS) - (some[place].text in _CLOSES)
            if depth == 0:
                return place
    raise ConfigError(f"a '{some[opening].text}' is not closed", hint="count the brackets of the query")
