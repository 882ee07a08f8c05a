"""The options of a request: what a client wants of a set, in V2's words or V4's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, unquote_plus

from pilothouse.sandbox.sap.errors import bad_request
from pilothouse.sandbox.sap.services import Version

_KNOWN: Final[Mapping[Version, frozenset[str]]] = {
    2: frozenset({"$filter", "$select", "$orderby", "$top", "$skip", "$expand", "$inlinecount", "$format", "$skiptoken", "search"}),
    4: frozenset(
        {"$filter", "$select", "$orderby", "$top", "$skip", "$expand", "$count", "$format", "$skiptoken", "$deltatoken", "$search"}
    ),
}
_ORDER: Final = re.compile(r"^(?P<name>\w+)(?:\s+(?P<direction>asc|desc))?$")
MAXIMUM_LEVELS: Final = 3


@dataclass(frozen=True)
class Order:
    """One field to sort by."""

    name: str
    descending: bool = False


@dataclass(frozen=True)
class Options:
    """What of a set is wanted. `expand` holds the options of each navigation to follow."""

    filter: str | None = None
    select: tuple[str, ...] | None = None
    order: tuple[Order, ...] = ()
    top: int | None = None
    skip: int = 0
    count: bool = False
    expand: Mapping[str, Options] = field(default_factory=dict)
    skip_token: str | None = None
    delta_token: str | None = None


def parameters(query: str) -> dict[str, str]:
    """The decoded parameters of a raw query string; 400 where a system option is given twice."""
    found: dict[str, str] = {}
    for piece in query.split("&"):
        name, _, value = piece.partition("=")
        name = unquote_plus(name)
        if name in found and name.startswith("$"):
            raise bad_request(f"Query option '{name}' is given twice")
        if name:
            found[name] = unquote_plus(value)
    return found


def encoded(given: Mapping[str, str]) -> str:
    """Parameters as a query string."""
    return "&".join(f"{quote(name, safe='$!')}={quote(value, safe=_SAFE)}" for name, value in given.items())


_SAFE: Final = "',()/$:-_.~*;=@"


def options(given: Mapping[str, str], version: Version) -> Options:
    """The options among the parameters of a request."""
    for name in given:
        if name.startswith("$") and name not in _KNOWN[version]:
            raise bad_request(f"Query option '{name}' is not supported")
    delta = given.get("!deltatoken") if version == 2 else given.get("$deltatoken")
    count = given.get("$inlinecount", "none") == "allpages" if version == 2 else given.get("$count", "false") == "true"
    read = Options(
        filter=given.get("$filter") or None,
        order=_order(given.get("$orderby", "")),
        top=_number("$top", given),
        skip=_number("$skip", given) or 0,
        count=count,
        skip_token=given.get("$skiptoken"),
        delta_token=delta.strip("'") if delta is not None else None,
    )
    if version == 2:
        return _with_paths(read, given.get("$select", ""), given.get("$expand", ""))
    return replace(read, select=_selected(given.get("$select", "")), expand=_expanded(given.get("$expand", ""), 1))


def _number(name: str, given: Mapping[str, str]) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise bad_request(f"Invalid value '{text}' of query option '{name}'")
    return int(text)


def _order(text: str) -> tuple[Order, ...]:
    found = []
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        match = _ORDER.match(piece)
        if match is None:
            raise bad_request(f"Invalid $orderby '{piece}'")
        found.append(Order(match["name"], match["direction"] == "desc"))
    return tuple(found)


def _selected(text: str) -> tuple[str, ...] | None:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    return None if not names or "*" in names else names


def _with_paths(read: Options, select: str, expand: str) -> Options:
    """V2 writes nesting as paths: `$expand=to_Item/to_Text`, `$select=to_Item/Material`."""
    names = [name.strip().split("/") for name in select.split(",") if name.strip()]
    paths = [path.strip().split("/") for path in expand.split(",") if path.strip()]
    nested = _nested(names, paths, 1)
    return replace(read, select=nested.select, expand=nested.expand)


def _nested(names: Sequence[Sequence[str]], paths: Sequence[Sequence[str]], level: int) -> Options:
    if level > MAXIMUM_LEVELS + 1:
        raise bad_request(f"$expand goes deeper than {MAXIMUM_LEVELS} levels")
    plain = tuple(name[0] for name in names if len(name) == 1)
    select = None if not names or "*" in plain else plain
    expand = {}
    for head in dict.fromkeys(path[0] for path in paths):
        below = [name[1:] for name in names if len(name) > 1 and name[0] == head]
        expand[head] = _nested([] if head in plain else below, [path[1:] for path in paths if path[0] == head and len(path) > 1], level + 1)
    return Options(select=select, expand=expand)


def _expanded(text: str, level: int) -> dict[str, Options]:
    """V4 writes nesting as options in parentheses: `$expand=_Item($select=Product;$expand=_Text)`."""
    if text and level > MAXIMUM_LEVELS:
        raise bad_request(f"$expand goes deeper than {MAXIMUM_LEVELS} levels")
    found = {}
    for piece in _split(text, ","):
        name, opened, inner = piece.partition("(")
        given = {}
        if opened:
            if not inner.endswith(")"):
                raise bad_request(f"Invalid $expand '{piece}'")
            given = dict(option.strip().partition("=")[::2] for option in _split(inner[:-1], ";"))
        read = options({key: value for key, value in given.items() if key != "$expand"}, 4)
        found[name.strip()] = replace(read, expand=_expanded(given.get("$expand", ""), level + 1))
    return found


def _split(text: str, mark: str) -> list[str]:
    """The pieces between marks that are neither in parentheses nor in quotes."""
    pieces, start, depth, inside = [], 0, 0, False
    for position, character in enumerate(text):
        if character == "'":
            inside = not inside
        elif not inside and character == "(":
            depth += 1
        elif not inside and character == ")":
            depth -= 1
        elif character == mark and depth == 0 and not inside:
            pieces.append(text[start:position])
            start = position + 1
    if depth or inside:
        raise bad_request(f"Unbalanced parentheses or quotes in '{text}'")
    return [piece for piece in [*pieces, text[start:]] if piece.strip()]
