"""`python -m docs.generate` (or `make docs`): the reference pages, derived from the code they describe.

The pages stand in the repository, so that they can be read there; a test says when they no longer follow from the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from assets.platform import Platform, Source
from connectors.connector import ConnectorKind
from graph.kinds import Ontology
from models.trees import declared_facts
from models.trees.schema import files as schemas
from pilothouse.cli.app import app
from pilothouse.kernel.registry import discover
from pilothouse.kernel.settings import PREFIX, AgentSettings, BrainSettings, Settings, SourceSettings, load

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"
_NOTE = "<!-- Written by `make docs`. Change the code, not this page. -->\n\n"


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {
        "commands.md": _NOTE + "# Commands\n\n" + "\n".join(_commands()),
        "settings.md": _NOTE + "# Settings\n\n" + "\n".join(_settings()),
        "ontology.md": _NOTE + "# The ontology\n\n" + "\n".join(_ontology()),
        "streams.md": _NOTE + "# Streams and their rules\n\n" + "\n".join(_streams()),
    }


def write(folder: Path = FOLDER) -> None:
    """Write the pages down."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text)
    for path, text in schemas(declared_facts()).items():
        path.write_text(text, encoding="utf-8")


def _commands() -> Iterator[str]:
    yield "`pilothouse --version` prints the version, `pilothouse --install-completion` sets shell completion up.\n"
    yield from _group(typer.main.get_command(app), "pilothouse")


def _group(command: Any, path: str) -> Iterator[str]:
    """A command and those below it; typed loosely, because typer brings a click of its own."""
    below = getattr(command, "commands", None)
    if below is not None:
        for name, each in below.items():
            yield from _group(each, f"{path} {name}")
        return
    text, _, example = command.help.partition("Example: ")
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and each.name != "help"]
    yield f"## `{' '.join([path, *(_placeholder(each) for each in arguments)])}`\n"
    yield f"{' '.join(text.split())}\n"
    yield f"```console\n{example.strip()}\n```\n"
    if arguments or options:
        described = [(f"`{_placeholder(each)}`", each.help) for each in arguments]
        described += [("`" + "`, `".join(each.opts) + "`", each.help) for each in options]
        yield from _table(("argument or option", "what it says"), described)


def _placeholder(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _settings() -> Iterator[str]:
    yield (
        "`pilothouse.toml` holds them in sections; any of them can come from the environment instead, as "
        f"`{PREFIX}<SECTION>__<KEY>`, which is where secrets belong. An unknown key is an error.\n"
    )
    sections = {name: field for name, field in Settings.model_fields.items() if name != "sources"}
    top = {name: field for name, field in sections.items() if not (_is_model(field.annotation) or _named(field.annotation))}
    yield "## At the top\n"
    yield from _fields(top)
    for name, field in sections.items():
        named = _named(field.annotation)
        yield from _section(f"{name}.<name>" if named else name, named or field.annotation)
    yield "## `[sources.<name>]`\n"
    yield f"{_said(SourceSettings)}\n"
    yield from _fields(SourceSettings.model_fields)
    for kind in discover("connectors", ConnectorKind).values():
        yield f'### with `connector = "{kind.name}"`\n'
        yield f"{_said(kind.options)}\n"
        yield from _fields(kind.options.model_fields)


def _section(name: str, kind: Any) -> Iterator[str]:
    """A section, and those inside it after it."""
    if _is_model(kind):
        yield f"## `[{name}]`\n"
        yield f"{_said(kind)}\n"
        yield from _fields({key: field for key, field in kind.model_fields.items() if not _is_model(field.annotation)})
        for key, field in kind.model_fields.items():
            yield from _section(f"{name}.{key}", field.annotation)
        if kind is AgentSettings:
            yield from _section(f"{name}.<name>", BrainSettings)


def _named(annotation: Any) -> Any:
    """What stands in a section under names of the user's own; None where it holds nothing such."""
    kinds = get_args(annotation)
    return kinds[1] if get_origin(annotation) is dict and _is_model(kinds[1]) else None


def _fields(fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    rows = [(f"`{field.alias or name}`", _default(field), field.description or "") for name, field in fields.items()]
    yield from _table(("key", "default", "what it says"), rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, timedelta):
        return f"{value.days} days" if value.days else f"{value.total_seconds():g} seconds"
    if SecretStr in (field.annotation, *get_args(field.annotation)):
        return "a secret, not set"
    return "" if value is None or value in ("", {}, [], ()) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _streams() -> Iterator[str]:
    yield "What the sources of the `pilothouse.toml` that stands in the repository bring, and what is asked of each row.\n"
    for source in Platform(load(ROOT / "pilothouse.toml", running=False)).sources.values():
        yield f"## {source.name} ({source.kind.name})\n"
        yield from (line for name in source.streams for line in _stream(source, name))


def _stream(source: Source, name: str) -> Iterator[str]:
    stream = source.streams[name]
    yield f"### `raw/{source.name}/{name}`\n"
    if stream.description:
        yield f"{stream.description}\n"
    facts = [f"key {_codes(stream.key)}", f"deletions by {stream.deletes}"]
    facts += [f"changes since `{stream.cursor.field}`"] if stream.cursor else ["read in full"]
    facts += [f"announces {_codes(sorted(set(stream.announces.values())))}"] if stream.announces else []
    yield f"{'; '.join(facts)}.\n"
    rules = source.rules(name)
    if rules:
        yield from _table(
            ("rule", "expectation", "columns", "where it fails"),
            [(rule.name, f"`{rule.expectation}`", _codes(rule.columns), rule.on_failure) for rule in rules],
        )


def _ontology() -> Iterator[str]:
    yield "What there is in [the graph](../graph.md), and which mart says so. Every node has an `id`, which is the key of its mart.\n"
    ontology = Ontology.declared()
    for node in ontology.nodes.values():
        yield f"## `(:{node.label})`\n"
        held = f" It holds since `{node.valid_from}`." if node.valid_from else ""
        yield f"{node.description} From `{node.mart}`, its `id` is {_codes(node.key)}.{held}\n"
        yield f"{_codes(node.properties)}\n"
    yield "## Edges\n"
    yield from _table(
        ("edge", "what it says", "mart", "properties", "holds since"),
        [
            (
                f"`(:{edge.source.label})-[:{edge.type}]->(:{edge.target.label})`",
                edge.description,
                f"`{edge.mart}`",
                _codes(edge.properties),
                f"`{edge.valid_from}`" if edge.valid_from else "",
            )
            for edge in ontology.edges.values()
        ],
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str | None]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join((cell or '').replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _codes(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _said(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split())


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


if __name__ == "__main__":
    write()
