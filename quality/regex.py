"""Python's regular expressions in Rust's dialect, so that Polars finds what Great Expectations on pandas finds.

The dialects agree on almost everything and differ silently on the rest: Python's `$` also matches before a final newline,
its `\\w` knows no combining marks but superscripts, its `\\s` includes the ASCII separators 1C to 1F, and inside of a class
Rust reads `[`, `&&` and `~~` as set operators. What Rust does not have (look-around, back references) is refused when the
rule is declared. One difference stays: `\\b` asks Rust's idea of a word, which includes combining marks.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

_WORD = r"\p{L}\p{N}_"
_OUTSIDE = {r"\w": f"[{_WORD}]", r"\W": f"[^{_WORD}]", r"\s": r"[\s\x1c-\x1f]", r"\S": r"[^\s\x1c-\x1f]", r"\Z": r"\z"}
_INSIDE = {r"\w": _WORD, r"\W": f"[^{_WORD}]", r"\s": r"\s\x1c-\x1f", r"\S": r"[^\s\x1c-\x1f]", "[": r"\[", "&": r"\&", "~": r"\~"}
_TOKEN = re.compile(r"\\.|.", re.DOTALL)
# Where Rust may say no: marked groups, escapes beyond the common ones, braces that are no small repetition, whatever is repeated twice.
_DOUBTFUL = re.compile(r"\(\?|\\(?![wWdDsStnr])[0-9A-Za-z]|[*+?}][+*?{]|\)\{|\{(?![0-9]{1,2}(,[0-9]{0,2})?\})")
_MULTILINE = re.compile(r"\(\?[a-zA-Z]*m")


@lru_cache(maxsize=1024)
def translated(pattern: str) -> str:
    """The pattern as Rust must be told it."""
    multiline = bool(_MULTILINE.search(pattern))
    pieces: list[str] = []
    class_starts = -1  # where the class we are in began: a `]` right there is a literal one
    for number, piece in enumerate(read := _TOKEN.findall(pattern)):
        if class_starts < 0:
            if piece == "[":
                class_starts = number + (2 if read[number + 1 : number + 2] == ["^"] else 1)
                pieces.append(piece)
            else:
                pieces.append(r"(?:\n?\z)" if piece == "$" and not multiline else _OUTSIDE.get(piece, piece))
        elif piece == "]" and number > class_starts:
            class_starts = -1
            pieces.append(piece)
        else:
            pieces.append(r"\]" if piece == "]" else _INSIDE.get(piece, piece))
    return "".join(pieces)


@lru_cache(maxsize=1024)
def untranslatable(pattern: str) -> str:
    """Why the pattern cannot be used; empty when it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns that `[[` may mean something else one day
            re.compile(pattern)
    except re.error as error:
        return f"{pattern!r} is no regular expression: {error}"
    if not _DOUBTFUL.search(pattern):  # as most: a code location that declares rules need not load the engine to learn what is certain
        return ""
    import polars as pl

    try:
        pl.select(pl.lit("").str.contains(translated(pattern)))
    except pl.exceptions.ComputeError as error:
        return f"{pattern!r} uses what the Polars engine has not, such as look-around: {str(error).splitlines()[0]}"
    return ""
