"""XML text from names, attributes and children; everything that comes from a declaration is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

Attributes = Mapping[str, str | int | bool | None]


def element(name: str, attributes: Attributes, *children: str) -> str:
    """One element. An attribute that is None or empty is left out."""
    given = "".join(f" {key}={quoteattr(_text(value))}" for key, value in attributes.items() if value is not None and value != "")
    inner = "".join(children)
    return f"<{name}{given}>{inner}</{name}>" if inner else f"<{name}{given}/>"


def _text(value: str | int | bool | None) -> str:  # noqa: FBT001 - XML attributes are of any plain type
    return str(value).lower() if isinstance(value, bool) else str(value)
