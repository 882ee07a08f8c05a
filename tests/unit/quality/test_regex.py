"""Regular expressions mean in Rust what they mean in Python."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quality.regex import translated, untranslatable

PATTERNS = [
    r"^a$",
    r"\d+$",
    r"^\w+$",
    r"\W",
    r"^\s*$",
    r"\S",
    r"[\w-]+",
    r"[^\w]",
    r"[]a]",
    r"[^]a]",
    r"[a[b]",
    r"[a&&b]",
    r"[~~x]",
    r"\$",
    r"(?m)^b$",
    r"a\Z",
]


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
@given(text=st.text(alphabet="ab[]&~x$1² \n\t\x1c_é-\\", max_size=6), pattern=st.sampled_from(PATTERNS))
@settings(max_examples=400)
def test_a_translated_pattern_finds_what_python_finds(text: str, pattern: str) -> None:
    found = pl.select(pl.lit(text).str.contains(translated(pattern))).item()
    assert found == (re.search(pattern, text) is not None)


@pytest.mark.parametrize(("pattern", "reason"), [("(", "no regular expression"), (r"(?=x)", "look-around"), (r"(a)\1", "look-around")])
def test_a_pattern_that_cannot_be_used_says_why(pattern: str, reason: str) -> None:
    assert reason in untranslatable(pattern)


def test_a_usable_pattern_has_no_complaint() -> None:
    assert [untranslatable(pattern) for pattern in PATTERNS] == [""] * len(PATTERNS)


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")
@given(pattern=st.text(alphabet=r"ab01()[]{}^$|*+?.,-\\wdsSbZx&~<>=!:P", max_size=10))
@settings(max_examples=400)
def test_what_is_not_asked_of_the_engine_is_what_it_takes(pattern: str) -> None:
    """Most patterns are certain by their look. None of these may be one that the engine refuses when rows are judged."""
    if not untranslatable(pattern):
        pl.select(pl.lit("").str.contains(translated(pattern)))
