"""From tables to a version that is used, or is not: read, learn, keep in MLflow, compare, and give the better one the alias.

Each step can be the last one that a machine lives to see. A version counts once it has its verdict, which is written last; training
again on the same tables finds a version without one and goes on from there, and one with it has nothing to do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from models.model import Compared, Fitted, Model
from models.tracking import FINGERPRINT, SEEN_UNTIL, VERDICT, Registered, Tracking, as_json, seen_until
from models.versions import Version, VersionTable
from pilothouse.kernel.errors import ModelError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import Pinned, Versions, note_read, note_written, recording

if TYPE_CHECKING:
    from pilothouse.kernel.lake.pins import Pins

PROMOTED: Final = "promoted"
KEPT: Final = "kept"  # the incumbent was
_READ: Final = "pilothouse.versions"


@dataclass(frozen=True)
class Trained:
    """What came of a training. `fitted` is None where the same version was there already."""

    model: Model
    version: Version
    compared: Compared | None
    fitted: Fitted | None

    @property
    def promoted(self) -> bool:
        """Whether it is the one that is used now."""
        return self.version.is_champion


class Trainer:
    """Trains models of one lake, and keeps their versions in one MLflow."""

    def __init__(self, lake: Lake, tracking: Tracking, *, keep: int = 20, pins: Pins | None = None) -> None:
        self._lake = lake
        self._tracking = tracking
        self._keep = keep
        self._pins = pins

    def train(self, model: Model, at: Mapping[str, int] | None = None) -> Trained:
        """Learn from the tables at their newest versions, or at those named, and promote what is better."""
        tables, read = read_tables(self._lake, model, at)
        fingerprint = _fingerprint(model, read)
        registered = next((each for each in self._tracking.versions(model.name) if each.tags.get(FINGERPRINT) == fingerprint), None)
        fitted, known = None, {each.version: each for each in VersionTable(self._lake, model).all()}
        if registered is not None and VERDICT in registered.tags and registered.version in known:
            self._agree(model)
            return Trained(model, VersionTable(self._lake, model).get(registered.version), None, None)
        if registered is None:
            fitted = model.kind.fit(model, tables)
            registered = self._registered(model, fitted, fingerprint, read)
        verdict, compared = self._judged(model, tables, registered)
        note_written(Pinned("model", model.name, str(registered.version), fingerprint))
        synthetic = any(bool(table["_synthetic"].any()) for table in tables.values() if "_synthetic" in table.columns)
        version = Version(
            version=registered.version,
            run_id=registered.run_id,
            trained_at=datetime.now(UTC),
            seen_until=seen_until(registered),
            fingerprint=fingerprint,
            is_champion=verdict.startswith(PROMOTED),
            verdict=verdict,
            compared=None if compared is None else json.loads(as_json(compared) or "null"),
            metrics=dict(fitted.metrics) if fitted else {},
            versions=read.as_json(),
            card=dict(fitted.card) if fitted else self._tracking.card(registered),
            synthetic=synthetic,
        )
        self._noted(model, version, read)
        self._tracking.judge(registered, verdict, compared)
        return Trained(model, version, compared, fitted)

    def promote(self, model: Model, version: int | None = None) -> Version:
        """Use a version because a person says so; without one, the version that the alias names in MLflow."""
        table = VersionTable(self._lake, model)
        if version is not None:
            wanted = table.get(version)
            self._tracking.crown(Registered(model.name, wanted.version, wanted.run_id, {}))
        self._agree(model)
        return table.champion()

    def _registered(self, model: Model, fitted: Fitted, fingerprint: str, read: Versions) -> Registered:
        tags = {
            FINGERPRINT: fingerprint,
            SEEN_UNTIL: fitted.seen_until.isoformat(),
            _READ: ", ".join(f"{entry.name}@{entry.version}" for entry in read.read),
            "pilothouse.versions_digest": read.digest(),
        }
        return self._tracking.register(model, fitted, tags, {"versions": read.as_json(), "declaration": _declared(model)})

    def _judged(self, model: Model, tables: Mapping[str, pl.DataFrame], candidate: Registered) -> tuple[str, Compared | None]:
        """Whether the candidate is better than the one that is used, where neither has seen; the alias follows."""
        incumbent = self._tracking.champion(model.name)
        if incumbent is None:
            self._tracking.crown(candidate)
            return f"{PROMOTED}: the first", None
        if incumbent.version == candidate.version:
            return f"{PROMOTED}: it is used already", None
        since = max(seen_until(candidate), seen_until(incumbent))
        compared = model.kind.compare(model, tables, self._tracking.card(candidate), self._tracking.card(incumbent), since)
        if compared is None:
            return f"{KEPT} version {incumbent.version}: too little is known since {since} to compare by", None
        ours, theirs = compared.candidate[model.beats.measure], compared.incumbent[model.beats.measure]
        words = f"{model.beats.measure} {ours:.5f} against {theirs:.5f} on {compared.rows:,} rows since {compared.since}"
        if ours < theirs * (1 - model.beats.by):
            self._tracking.crown(candidate)
            return f"{PROMOTED} over version {incumbent.version}: {words}", compared
        return f"{KEPT} version {incumbent.version}: {words}", compared

    def _noted(self, model: Model, version: Version, read: Versions) -> None:
        """Put a version into the table, let go of those beyond what is kept, and hold what it was trained on."""
        table = VersionTable(self._lake, model)
        others = [each for each in table.all() if each.version != version.version]
        if version.is_champion:
            others = [replace(each, is_champion=False) for each in others]
        everything = sorted([version, *others], key=lambda each: -each.version)
        kept = [each for place, each in enumerate(everything) if place < self._keep or each.is_champion]
        table.keep(kept)
        if self._pins is not None:
            self._pins.hold(read, _holder(model, version.version), reason="a model was trained on it")
        for gone in (each for each in everything if each not in kept):
            self._tracking.forget(Registered(model.name, gone.version, gone.run_id, {}))
            if self._pins is not None:
                self._pins.release(_holder(model, gone.version))

    def _agree(self, model: Model) -> None:
        """Let the table name the champion that MLflow names: somebody may have moved the alias there."""
        table, champion = VersionTable(self._lake, model), self._tracking.champion(model.name)
        known = table.all()
        if champion is None or champion.version not in {each.version for each in known}:
            if champion is not None:
                raise ModelError(
                    f"{model.name}: MLflow's {champion.name} version {champion.version} is not one that was trained here",
                    hint="give the alias `champion` to one that `pilothouse model show` lists",
                )
            return
        table.keep([replace(each, is_champion=each.version == champion.version) for each in known])


def read_tables(lake: Lake, model: Model, at: Mapping[str, int] | None = None) -> tuple[dict[str, pl.DataFrame], Versions]:
    """A model's tables, and the vector that says which versions they are."""
    at = at or {}
    if strange := sorted(set(at) - set(model.tables)):
        raise ModelError(f"{model.name} does not read {strange[0]}", hint=f"it reads {', '.join(model.tables)}")
    with recording() as recorder:
        tables = {name: lake.table(name).scan(at.get(name)).collect() for name in model.tables}
    for entry in recorder.versions().read:
        note_read(entry)
    return tables, recorder.versions()


def _declared(model: Model) -> dict[str, Any]:
    """The declaration as plain JSON."""
    plain: dict[str, Any] = json.loads(json.dumps({**asdict(model), "kind": repr(model.kind)}, default=str))
    return plain


def _fingerprint(model: Model, read: Versions) -> str:
    """The same model of the same tables: training again would make the same version."""
    text = json.dumps({"model": _declared(model), "read": read.as_json()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _holder(model: Model, version: int) -> str:
    return f"model/{model.name}/{version}"
