"""A model in force, fitted as its asset fits it and without MLflow: where versions are registered is proved elsewhere."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import UTC, datetime

from models.declared.late_payment_risk import LATE_PAYMENT_RISK
from models.model import Model
from models.training import read_tables
from models.versions import Version, VersionTable
from pilothouse.kernel.lake import Lake

TRAINED_AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


def crown(lake: Lake, model: Model = LATE_PAYMENT_RISK, *, learned: Lake | None = None) -> Version:
    """Fit a model on what the lake says, or another lake, and use it; the next version of what is there."""
    tables, read = read_tables(learned or lake, model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn on how few late orders a small company has
        fitted = model.kind.fit(model, tables)
    known = VersionTable(lake, model).all()
    made = Version(
        version=len(known) + 1,
        run_id="run",
        trained_at=TRAINED_AT,
        seen_until=fitted.seen_until,
        fingerprint="f",
        is_champion=True,
        verdict="the newest",
        compared=None,
        metrics=dict(fitted.metrics),
        versions=read.as_json(),
        card=dict(fitted.card),
        synthetic=True,
    )
    VersionTable(lake, model).keep([made, *(replace(each, is_champion=False) for each in known)])
    return made
