"""A decision table as DMN has it: columns and rules, each test and each result a text in FEEL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

Policy = Literal["UNIQUE", "FIRST", "ANY"]
NAMESPACES: Final = {
    "1.1": "http://www.omg.org/spec/DMN/20151101/dmn.xsd",
    "1.2": "http://www.omg.org/spec/DMN/20180521/MODEL/",
    "1.3": "https://www.omg.org/spec/DMN/20191111/MODEL/",
    "1.4": "https://www.omg.org/spec/DMN/20211108/MODEL/",
    "1.5": "https://www.omg.org/spec/DMN/20230324/MODEL/",
}


@dataclass(frozen=True)
class Column:
    """One input: what is looked up, its type in DMN's words, and what it can be."""

    expression: str
    type: str = ""
    label: str = ""
    values: str = ""


@dataclass(frozen=True)
class Output:
    """One result. `default` is what it is where no rule holds."""

    name: str
    type: str = ""
    default: Any = None


@dataclass(frozen=True)
class Rule:
    """One row: a test for each input, a result for each output; `note` is what people say of it."""

    tests: tuple[str, ...]
    results: tuple[Any, ...]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A decision table."""

    name: str
    policy: Policy
    inputs: tuple[Column, ...]
    outputs: tuple[Output, ...]
    rules: tuple[Rule, ...]
    description: str = ""
