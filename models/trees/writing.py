"""A tree as a file that people would have written: what `pilothouse tree import` leaves."""

from __future__ import annotations

from typing import Any

import yaml

from models.trees.document import TreeFile


class _Flow(dict[str, Any]):
    """A mapping on one line."""


class _Dumper(yaml.SafeDumper):
    """Conditions on one line, each case on two; lists further in than what they belong to."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - yaml's signature
        return super().increase_indent(flow, indentless=False)


_Dumper.add_representer(_Flow, lambda dumper, value: dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=True))
_Dumper.add_representer(tuple, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True))


def text_of(document: TreeFile, schema: str = "") -> str:
    """The file of a document; `schema` is what editors check it by."""
    plain = document.model_dump(by_alias=True, exclude_defaults=True)
    plain["inputs"] = {name: _Flow(fact) for name, fact in plain.get("inputs", {}).items()}
    plain["changeable"] = {name: _Flow(change) for name, change in plain.get("changeable", {}).items()}
    for node in plain.get("nodes", {}).values():
        node["cases"] = [{"when": _flowing(case["when"]), "then": case["then"]} for case in node["cases"]]
    for leaf in plain["leaves"].values():
        if "terms" in leaf:
            leaf["terms"] = _Flow(leaf["terms"])
    named = {name: value for name, value in plain.items() if value not in ({}, None)}
    head = f"# yaml-language-server: $schema={schema}\n" if schema else ""
    return head + yaml.dump(named, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=140)


def _flowing(when: Any) -> Any:
    if isinstance(when, list):
        return [_flowing(each) for each in when]
    return _Flow(
        {name: _Flow(test) if isinstance(test, dict) else tuple(test) if isinstance(test, list) else test for name, test in when.items()}
    )
