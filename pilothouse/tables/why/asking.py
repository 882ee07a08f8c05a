"""One table is asked, once for all of its rows that may matter: what they say, and what that depends on in its inputs.

Raw tables are not asked at all: what a raw row says, as far as it matters, is in the traces of the rows that are made of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pilothouse.tables.project import Model
from pilothouse.tables.why.annotate import ASKED
from pilothouse.tables.why.asked import Asked, Places
from pilothouse.tables.why.needed import THERE
from pilothouse.tables.why.reading import RAW_KEY, At, Connection, as_text
from pilothouse.tables.why.row import Key

if TYPE_CHECKING:
    from pilothouse.tables.why.explain import Explainer

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Asking:
    """Asks tables, one after the other, over one connection."""

    def __init__(self, explainer: Explainer, connection: Connection, places: Places) -> None:
        self.connection = connection
        self._explainer = explainer
        self._places = places

    def rows(self, at: At, wanted: Mapping[Key, set[str]]) -> Asked:
        """What these columns of these rows depend on in the inputs of their table."""
        model = self._explainer.model_of(at.table)
        if model is None:
            seen_at = {key: _EPOCH + timedelta(microseconds=int(key[1])) for key in wanted}
            values = {key: {"_row_id": bytes.fromhex(key[0]), "_seen_at": seen_at[key]} for key in wanted}
            return Asked(at, RAW_KEY, self._places, values)
        asked = Asked(at, model.key, self._places)
        if model.kept:
            asked.values = self._published(at, model, wanted, ())
        else:
            self._ask(asked, model, wanted)
        return asked

    def together(self, at: At, columns: Collection[str], named: Sequence[str]) -> Asked:
        """What these columns depend on of the rows whose keys stand where the model's text looks for them; of those alone in whose
        traces one of these rows is found, if any are named."""
        model = self._explainer.model_of(at.table)
        assert model is not None
        asked = Asked(at, model.key, self._places)
        self._prepare(asked, model, columns)
        assert asked.text is not None
        if model.python or not set(asked.text.asked) <= set(model.key):
            self.connection.publish(model, self._explainer.reading.rows_of(at), asked.text.asked)
        found = " OR ".join(f"contains(CAST({trace} AS VARCHAR), '{name}')" for trace in asked.text.traces for name in named)
        self._run(asked, model, f" WHERE {found}" if found else "")
        return asked

    def _ask(self, asked: Asked, model: Model, wanted: Mapping[Key, set[str]]) -> None:
        self._prepare(asked, model, set().union(*wanted.values()))
        assert asked.text is not None
        if model.python or not set(asked.text.asked) <= set(model.key):
            asked.values = self._published(asked.at, model, wanted, asked.text.asked)
        else:
            self.connection.ask(model, [*wanted])
        self._run(asked, model)

    def _prepare(self, asked: Asked, model: Model, columns: Collection[str]) -> None:
        asked.inputs = {name: At(name, version) for name, version in self._explainer.reading.inputs(asked.at).items()}
        for source in asked.inputs.values():
            self.connection.view(source)
        asked.text = self._explainer.text(model, sorted({*columns, *model.key}), asked.inputs.values())

    def _run(self, asked: Asked, model: Model, which: str = "") -> None:
        assert asked.text is not None
        names, width = ", ".join(map(as_text, model.key)), len(model.key)
        told = self.connection.duck.execute(f"SELECT {names}, * FROM ({asked.text.text}){which}")
        columns = [each[0] for each in (told.description or ())[width:]]
        said = len(columns) - len(asked.text.traces)
        for row in told.fetchall():
            key = tuple(map(str, row[:width]))
            asked.traces[key] = dict(zip(columns[said:], row[width + said :], strict=True))
            if not model.python:
                asked.values[key] = dict(zip(columns[:said], row[width:], strict=False))

    def _published(self, at: At, model: Model, wanted: Mapping[Key, set[str]], used: Iterable[str]) -> dict[Key, dict[str, Any]]:
        """Put the wanted rows, as they are published, where the model's text looks for them; returns what they say. `used` are the
        columns by which the text looks."""
        self.connection.ask(model, [*wanted])
        columns = {name.removesuffix(THERE) for name in set().union(*wanted.values(), used)}
        self.connection.publish(model, self._explainer.reading.rows_of(at), sorted(columns))
        told = self.connection.duck.execute(f'SELECT {", ".join(map(as_text, model.key))}, * FROM {ASKED}."{model.name}"')
        names = [each[0] for each in told.description or ()][len(model.key) :]
        return {tuple(map(str, row[: len(model.key)])): dict(zip(names, row[len(model.key) :], strict=True)) for row in told.fetchall()}
