"""The cases that come with an agent: a YAML file beside it, which its owner reads and extends.

at: 2026-06-01T12:00:00Z
subject: s4/sales_order/1000100
tools:                      # what tools answer in every case that says nothing else
  order: {net_amount_eur: "4031.97", ...}
cases:
  - name: a firm in distress
    because: three invoices have been open for more than a month
    tools: {features: {invoices_late_and_open: 3}}
    wanted: [hold]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pilothouse.agents.agent import Request
from pilothouse.agents.trials.case import Answer, Case
from pilothouse.kernel.errors import ConfigError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Case(_Strict):
    name: str
    because: str = ""
    subject: str = ""  # another than the first, where an agent decides on several kinds
    tools: dict[str, Any] = Field(default_factory=dict)
    wanted: list[str] = Field(min_length=1)


class _File(_Strict):
    at: datetime
    subject: str
    tools: dict[str, Any]
    cases: list[_Case] = Field(min_length=1)


def shipped_cases(file: Path) -> list[Case]:
    """The cases of a file; ConfigError names the place where it is wrong."""
    try:
        said = _File.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(f"{file.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}", hint="mend that line") from error
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{file.name}: {error}", hint="mend that file") from error
    strange = sorted({tool for case in said.cases for tool in case.tools} - said.tools.keys())
    if strange:
        raise ConfigError(f"{file.name}: no tool '{strange[0]}' answers in every case", hint=f"there are {', '.join(said.tools)}")
    request = Request(subject=said.subject, at=said.at, event={"topic": "case"})
    return [
        Case(
            name=case.name,
            request=replace(request, subject=case.subject) if case.subject else request,
            answers=tuple(
                Answer(tool=tool, arguments=None, answer=_over(usual, case.tools[tool]) if tool in case.tools else usual)
                for tool, usual in said.tools.items()
            ),
            wanted=frozenset(case.wanted),
            because=case.because,
        )
        for case in said.cases
    ]


def _over(usual: Any, special: Any) -> Any:
    """A case's own answer over the usual one: objects by key, all else as a whole."""
    if isinstance(usual, Mapping) and isinstance(special, Mapping):
        return {**usual, **special}
    return special
