"""Facts from the contract of a dbt model: its columns with their types and descriptions.

The contract is a YAML file that dbt enforces, so what is read here is what the table says. dbt itself is not needed to read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from models.trees.facts import Fact, Type
from pilothouse.kernel.errors import ConfigError

MODELS: Final = Path(__file__).parents[2] / "dbt_project" / "models"
_TYPES: Final[dict[str, Type]] = {
    **dict.fromkeys(("string", "varchar", "text"), "text"),
    **dict.fromkeys(("bigint", "int", "integer", "smallint"), "integer"),
    **dict.fromkeys(("double", "float", "decimal"), "number"),
    "boolean": "bool",
    "date": "date",
}


def columns(
    folder: str, model: str, *, known: Mapping[str, Mapping[str, Any]] | None = None, without: tuple[str, ...] = ()
) -> dict[str, Fact]:
    """The columns of a model as facts. `known` adds what the contract does not say, such as categories."""
    refined = known or {}
    contract = _contract(folder, model)
    facts: dict[str, Fact] = {}
    for column in contract["columns"]:
        type_ = re.match("[a-z]+", column["data_type"])
        kind = _TYPES.get(type_.group()) if type_ else None
        if kind is None or column["name"] in without:
            continue
        scale = re.fullmatch(r"decimal\(\d+, *(\d+)\)", column["data_type"])
        said = {
            "type": kind,
            "description": column.get("description", ""),
            "missing": {"type": "not_null"} not in column.get("constraints", []),
            **({"step": 10.0 ** -int(scale.group(1))} if scale else {}),
        }
        facts[column["name"]] = Fact(**{**said, **refined.get(column["name"], {})})
    unknown = sorted(set(refined) - set(facts))
    if unknown:
        raise ConfigError(f"{model}: there is no column '{unknown[0]}' to say more of", hint=f"it has {', '.join(facts)}")
    return facts


def _contract(folder: str, model: str) -> dict[str, Any]:
    for path in sorted((MODELS / folder).glob("_*.yml")):
        for each in yaml.safe_load(path.read_text(encoding="utf-8")).get("models", []):
            if each["name"] == model:
                return dict(each)
    raise ConfigError(f"no model '{model}' has a contract in {folder}", hint="a model's columns stand in the YAML file beside it")
