"""Which models are due for training, and which scores are out of date: questions to the lake alone, asked every few minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.drift import due
from models.model import Model
from models.training import read_tables
from models.versions import VersionTable
from pilothouse.kernel.lake import Lake


@dataclass(frozen=True)
class Due:
    """Why a model is to be trained, and the state of the lake for which that was found."""

    reason: str
    state: Mapping[str, int]


def reasons_to_train(lake: Lake, models: Sequence[Model]) -> dict[str, Due]:
    """The models to train, by name. One whose tables are not there yet is not."""
    found = {}
    for model in models:
        if not all(lake.table(name).exists() for name in model.tables):
            continue
        state = {name: lake.table(name).content_version() for name in model.tables}
        champion = next((each for each in VersionTable(lake, model).all() if each.is_champion), None)
        if champion is None:
            found[model.name] = Due("it has not been trained", state)
            continue
        reason = due(model, champion, read_tables(lake, model)[0]) if model.kind.called == "classifier" else None
        if reason is not None:
            found[model.name] = Due(reason, state)
    return found


def scores_state(lake: Lake, models: Sequence[Model]) -> dict[str, dict[str, int]]:
    """What scores made now would be made of, by model: the version that is used, and the versions of its tables."""
    found = {}
    for model in models:
        champion = next((each for each in VersionTable(lake, model).all() if each.is_champion), None)
        if champion is not None and all(lake.table(name).exists() for name in model.tables):
            found[model.name] = {"model": champion.version, **{name: lake.table(name).content_version() for name in model.tables}}
    return found
