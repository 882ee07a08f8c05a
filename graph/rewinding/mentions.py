"""What a query asks of its variables: which of them have to be bound to what their nodes said, and which conditions can be asked when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graph.rewinding.tokens import Token, at_the_top, clauses, closing, parts

_MATCHES = frozenset({"MATCH", "OPTIONAL MATCH"})
_PLAIN = frozenset({"AND", "OR", "XOR", "NOT", "IS", "NULL", "TRUE", "FALSE", "IN", "STARTS", "ENDS", "WITH", "CONTAINS"})
_NOT_TO_BE_PARTED = frozenset({"OR", "XOR", "CASE"})


def asked(some: Sequence[Token]) -> Iterator[str]:
    """The variables of which a query asks more than the id, the number, or where edges lead: whatever else is done with one counts."""
    for clause in clauses(some):
        body, place = clause.body, 0
        while place < len(body):
            token = body[place]
            if token.word in {"EXISTS", "COUNT"} and _text(body, place + 1) == "{":
                end = closing(body, place + 1)
                inner = body[place + 2 : end]
                begins = bool(inner) and inner[0].word in {"MATCH", "CALL", "WITH", "UNWIND"}
                yield from asked(inner if begins else [Token("word", "MATCH"), *inner])
                place = end
            elif token.kind in {"word", "quoted"} and not _is_place(clause.keyword, body, place) and not _is_counted(body, place):
                alone = clause.keyword == "WITH" and _stands_alone(body, place)
                of_id = _text(body, place + 1) == "." and _text(body, place + 2).strip("`") == "id"
                if not (alone or of_id):
                    yield token.name
            elif _says_something(body, place):
                yield token.name
            place += 1


def conjuncts(some: Sequence[Token]) -> list[list[Token]]:
    """The parts of a condition, all of which have to be true."""
    if not some or any(token.word in _NOT_TO_BE_PARTED for _, token in at_the_top(some)):
        return [list(some)] if some else []
    cuts = [place for place, token in at_the_top(some) if token.word == "AND"]
    return [list(some[begin + 1 : end]) for begin, end in zip([-1, *cuts], [*cuts, len(some)], strict=True)]


def names(some: Sequence[Token]) -> frozenset[str]:
    """Every name in it."""
    return frozenset(token.name for token in some if token.name)


def is_about(some: Sequence[Token], name: str) -> bool:
    """Whether a condition asks of this variable, and of no other: it can be asked where the variable is found."""
    variables = {
        token.name
        for place, token in enumerate(some)
        if token.kind in {"word", "quoted"} and token.word not in _PLAIN and _text(some, place + 1) != "("
    }
    return variables == {name} and "{" not in {token.text for token in some}


def renamed(some: Sequence[Token], name: str, text: str) -> list[Token]:
    """The same, asked of another variable, whose name is given as text."""
    return [Token("quoted", text, each.space) if each.kind in {"word", "quoted"} and each.name == name else each for each in some]


def _is_place(keyword: str, body: Sequence[Token], place: int) -> bool:
    """Whether it stands as a node in a pattern of a MATCH: what begins with a bracket there that is none of a function."""
    if keyword not in _MATCHES or _text(body, place - 1) != "(" or _text(body, place + 1) not in {")", ":", "{"}:
        return False
    return place < 2 or body[place - 2].kind == "sign"


def _says_something(body: Sequence[Token], place: int) -> bool:
    """Whether a node of a pattern is told by anything but its label and its id."""
    opening = next((at for at in (place + 1, place + 3) if _text(body, at) == "{"), None)
    if opening is None or _text(body, place - 1) != "(":
        return False
    return any(part[0].name != "id" for part in parts(body[opening + 1 : closing(body, opening)]))


def _is_counted(body: Sequence[Token], place: int) -> bool:
    before = [token.word or token.text for token in body[max(place - 3, 0) : place]]
    return _text(body, place + 1) == ")" and (before[-2:] == ["COUNT", "("] or before[-3:] == ["COUNT", "(", "DISTINCT"])


def _stands_alone(body: Sequence[Token], place: int) -> bool:
    """Whether it is a whole item of a WITH, under its own name."""
    before = body[place - 1].text.upper() if place else ","
    after = _text(body, place + 1)
    return before in {",", "DISTINCT"} and after in {",", ""} and any(at == place for at, _ in at_the_top(body))


def _text(some: Sequence[Token], place: int) -> str:
    return some[place].text if 0 <= place < len(some) else ""
