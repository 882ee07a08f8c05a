"""A model's life over real tables and a real MLflow: trained, compared, promoted or not, scored, stressed, watched, and failing well."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.declared.cash_in import CASH_IN
from models.declared.late_payment_risk import LATE_PAYMENT_RISK as RISK
from models.drift import drift, due, outcomes
from models.forecast import CashForecast
from models.model import Bar, Feature, Model
from models.retraining import reasons_to_train, scores_state
from models.scoring import Scorer, score_table
from models.splitting import divided, labelled
from models.stress import scenario_called, spoken, stressed
from models.tracking import Tracking
from models.training import Trained, Trainer, read_tables
from models.versions import VersionTable
from pilothouse.kernel.errors import LakeError, ModelError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.registry import discover
from pilothouse.kernel.versions import recording


def looking_at(*names: str) -> Model:
    """The same model, which looks at some features alone."""
    columns: tuple[Feature, ...] = tuple(each for each in RISK.features.columns if each.name in names)
    return replace(RISK, features=replace(RISK.features, columns=columns))


POOR = looking_at("order_haste", "cases_against_usual")


@pytest.fixture(scope="module")
def first(trainer: Trainer) -> Trained:
    """A poor one, which is the first, so it is used."""
    return trainer.train(POOR)


@pytest.fixture(scope="module")
def better(trainer: Trainer, first: Trained) -> Trained:
    return trainer.train(RISK)


def test_models_are_found_where_they_are_declared() -> None:
    assert discover("models.declared", Model) == {"cash_in": CASH_IN, "late_payment_risk": RISK}


def test_nothing_is_learned_that_was_not_known_before_what_is_held_out(lake: Lake) -> None:
    tables, _ = read_tables(lake, RISK)
    rows = labelled(RISK, tables)
    parts = divided(RISK, rows)
    now = tables[RISK.features.table]["ordered_on"].max()
    assert rows["_known_on"].max() <= now  # type: ignore[operator]
    for part in (parts.train, parts.calibrate):
        assert part["_known_on"].max() <= parts.seen_until  # type: ignore[operator]
        assert part["ordered_on"].max() < parts.seen_until  # type: ignore[operator]
    assert parts.train["ordered_on"].max() < parts.calibrate["ordered_on"].min() <= parts.seen_until <= parts.hold_out["ordered_on"].min()  # type: ignore[operator]


def test_orders_without_an_outcome_are_left_out_and_not_counted_as_good(lake: Lake) -> None:
    tables, _ = read_tables(lake, RISK)
    rows = labelled(RISK, tables)
    outcome = tables[RISK.target.table]
    now = tables[RISK.features.table]["ordered_on"].max()
    undecided = outcome.filter(pl.col("decided_on") > now)
    assert undecided.height > 100
    assert rows.join(undecided, on="order_id").is_empty()
    # Of those that can be told early, hardly any is late: whoever took them would learn that late payment does not happen.
    early = undecided.filter(pl.col("known_on") <= now)
    assert early["is_late"].mean() < rows["_outcome"].mean() / 2  # type: ignore[operator]


def test_the_first_version_is_used_and_a_better_one_takes_its_place(
    first: Trained, better: Trained, tracking: Tracking, lake: Lake
) -> None:
    assert first.version.verdict == "promoted: the first"
    assert better.promoted
    assert better.compared is not None
    assert better.compared.candidate["log_loss"] < better.compared.incumbent["log_loss"]
    assert better.compared.since >= max(first.version.seen_until, better.version.seen_until)
    champion = tracking.champion(RISK.name)
    assert champion is not None
    assert champion.version == better.version.version == VersionTable(lake, RISK).champion().version


def test_a_worse_one_is_kept_out_and_the_comparison_is_kept(trainer: Trainer, better: Trained, tracking: Tracking, lake: Lake) -> None:
    worse = trainer.train(looking_at("cases_against_usual"))
    assert not worse.promoted
    assert worse.version.verdict.startswith(f"kept version {better.version.version}: log_loss")
    champion = tracking.champion(RISK.name)
    assert champion is not None
    assert champion.version == better.version.version
    told = VersionTable(lake, RISK).get(worse.version.version).compared
    assert told is not None
    assert told["candidate"]["log_loss"] > told["incumbent"]["log_loss"]
    (registered,) = [each for each in tracking.versions(RISK.name) if each.version == worse.version.version]
    assert registered.tags["pilothouse.verdict"] == worse.version.verdict


def test_a_person_may_promote_and_take_it_back(trainer: Trainer, first: Trained, better: Trained, tracking: Tracking) -> None:
    assert trainer.promote(RISK, first.version.version).version == first.version.version
    assert trainer.promote(RISK, better.version.version).version == better.version.version
    tracking.crown(next(each for each in tracking.versions(RISK.name) if each.version == first.version.version))  # in MLflow's own UI, say
    assert trainer.promote(RISK).version == first.version.version
    trainer.promote(RISK, better.version.version)
    with pytest.raises(ModelError, match="no version 99"):
        trainer.promote(RISK, 99)


def test_training_again_on_the_same_tables_makes_nothing_new(trainer: Trainer, better: Trained, tracking: Tracking) -> None:
    before = len(tracking.versions(RISK.name))
    again = trainer.train(RISK)
    assert (again.version.version, again.fitted) == (better.version.version, None)
    assert len(tracking.versions(RISK.name)) == before


def test_mlflow_keeps_scikit_learns_own_parts_that_score_like_the_card(better: Trained, tracking: Tracking, lake: Lake) -> None:
    from models.additive.fitting import as_pandas

    registered = next(each for each in tracking.versions(RISK.name) if each.version == better.version.version)
    rows = lake.table(RISK.features.table).scan().collect()
    theirs = tracking.estimator(registered).predict_proba(as_pandas(RISK.features.columns, rows))[:, 1]
    ours = RISK.kind.score(RISK, {RISK.features.table: rows}, better.version.card)["score"].to_numpy()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    assert tracking.card(registered) == better.version.card


def test_the_version_vector_says_what_was_learned_from(trainer: Trainer, better: Trained, lake: Lake) -> None:
    assert {entry["name"]: int(entry["version"]) for entry in better.version.versions["read"]} == {
        name: lake.table(name).version() for name in RISK.tables
    }
    with recording() as recorder:
        scored = score_table(lake, RISK)
    assert scored.table in recorder.versions().written
    read = {(entry.kind, entry.name) for entry in recorder.versions().read}
    assert {("model", RISK.name), ("table", RISK.versions), ("table", RISK.features.table)} <= read


def test_batch_and_one_by_one_are_equal_to_the_bit(better: Trained, lake: Lake) -> None:
    scored = score_table(lake, RISK)
    assert scored.frame["model_version"].unique().to_list() == [better.version.version]
    assert scored.frame["_synthetic"].all()
    scorer, together = Scorer.of(lake, RISK), dict(zip(scored.frame["order_id"], scored.frame["score"], strict=True))
    rows = lake.table(RISK.features.table).scan().collect().sample(200, seed=1)
    for row in rows.iter_rows(named=True):
        found = scorer.score(row)
        assert found.score == together[row["order_id"]]
        total = found.base + sum(reason.adds for reason in found.reasons)
        assert 1 / (1 + np.exp(-total)) == pytest.approx(found.score, abs=1e-12)
    again = score_table(lake, RISK)
    assert again.table.version == scored.table.version  # equal scores publish no new version


def test_a_feature_that_is_missing_and_a_category_never_seen(better: Trained, lake: Lake) -> None:
    scorer = Scorer.of(lake, RISK)
    row = lake.table(RISK.features.table).scan().head(1).collect().row(0, named=True)
    with pytest.raises(ModelError, match="'late_share' is missing"):
        scorer.score({name: value for name, value in row.items() if name != "late_share"})
    assert scorer.score(row | {"country": "XX"}).unseen == ("country",)


def test_scenarios_raise_what_they_should(better: Trained, lake: Lake) -> None:
    rows = lake.table(RISK.features.table).scan().collect()
    fallen = stressed(RISK, better.version.card, rows, scenario_called(RISK, "rating-drops"))
    assert fallen.after > fallen.before
    assert fallen.frame.height == rows.height
    slump = stressed(RISK, better.version.card, rows, scenario_called(RISK, "industry-slumps"))
    assert slump.beyond > rows.height / 2  # no index was ever that low, and the answer says so
    same = stressed(RISK, better.version.card, rows, spoken(RISK, ["late_share*1"]))
    assert same.frame["before"].equals(same.frame["after"])
    for text, words in (
        ("late_share", "is no shift"),
        ("ghost*2", "no feature 'ghost'"),
        ("late_share*much", "is no number"),
        ("country+1", "category"),
    ):
        with pytest.raises(ModelError, match=words):
            stressed(RISK, better.version.card, rows, spoken(RISK, [text]))
    with pytest.raises(ModelError, match="rating-drops, industry-slumps"):
        scenario_called(RISK, "flood")


def test_drift_is_found_where_it_is_and_nowhere_else(better: Trained, lake: Lake) -> None:
    tables, _ = read_tables(lake, RISK)
    learned_from = (
        labelled(RISK, tables).filter(pl.col("ordered_on") < better.version.seen_until).select(tables[RISK.features.table].columns)
    )
    mixed = learned_from.sample(fraction=1, shuffle=True, seed=2).with_columns(
        ordered_on=pl.lit(better.version.seen_until), order_id=pl.int_range(learned_from.height).cast(pl.String)
    )
    as_before = drift(RISK, better.version, {RISK.features.table: mixed})
    assert as_before.drifted == ()
    moved = tables[RISK.features.table].with_columns(pl.col("usual_days_late") + 20, country=pl.lit("US"))
    found = drift(RISK, better.version, tables | {RISK.features.table: moved})
    assert {"usual_days_late", "country"} <= set(found.drifted)
    assert found.score > 0.25


def test_a_model_is_due_when_new_outcomes_are_worse_than_expected(better: Trained, lake: Lake) -> None:
    tables, _ = read_tables(lake, RISK)
    assert due(RISK, better.version, tables) is None
    features, target = tables[RISK.features.table], tables[RISK.target.table]
    # Later the same orders come again, and turn out otherwise: whoever was thought safe pays late.
    chances = RISK.kind.score(RISK, tables, better.version.card).select("order_id", "score")
    move = timedelta(days=200)
    later = features.join(target.select("order_id"), on="order_id").with_columns(
        pl.col("ordered_on") + move, order_id="n" + pl.col("order_id")
    )
    turned = target.join(chances, on="order_id").with_columns(
        pl.col("decided_on") + move, is_late=pl.col("score") < pl.col("score").median(), order_id="n" + pl.col("order_id")
    )
    now = {RISK.features.table: pl.concat([features, later]), RISK.target.table: pl.concat([target, turned.drop("score")])}
    found = outcomes(RISK, better.version, now)
    assert found is not None
    assert found.worse
    assert "new outcomes" in (due(RISK, better.version, now) or "")


def test_what_is_due_and_what_scores_are_made_of_is_asked_of_the_lake_alone(better: Trained, lake: Lake) -> None:
    due_now = reasons_to_train(lake, [RISK, replace(CASH_IN, name="cash_in_untrained")])
    assert {name: each.reason for name, each in due_now.items()} == {"cash_in_untrained": "it has not been trained"}
    assert scores_state(lake, [RISK])[RISK.name]["model"] == better.version.version


def test_a_pinned_version_that_was_never_there_is_told(trainer: Trainer) -> None:
    with pytest.raises(LakeError, match=r"version 99"):
        trainer.train(RISK, {RISK.features.table: 99})
    with pytest.raises(ModelError, match="does not read marts/dim_product"):
        trainer.train(RISK, {"marts/dim_product": 0})


def test_too_little_to_learn_from_is_told(lake: Lake) -> None:
    tables, _ = read_tables(lake, RISK)
    with pytest.raises(ModelError, match="50 rows with an outcome"):
        divided(RISK, labelled(RISK, tables).head(50))


def test_mlflow_that_is_down_registers_nothing_and_the_next_training_repairs(
    lake: Lake, tracking: Tracking, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = replace(RISK, name="fragile_risk")
    with pytest.raises(ModelError, match=r"MLflow at http://127\.0\.0\.1:1 fails[\s\S]*next training repairs"):
        Trainer(lake, Tracking("http://127.0.0.1:1")).train(model)
    assert not lake.table(model.versions).exists()

    def breaks(*_: object) -> None:
        raise ModelError("the line broke", hint="")

    with monkeypatch.context() as patched:  # in the middle: everything is written, and the version is not judged yet
        patched.setattr(Tracking, "crown", breaks)
        with pytest.raises(ModelError, match="the line broke"):
            trainer.train(model)
    assert len(tracking.versions(model.name)) == 1
    assert tracking.champion(model.name) is None
    repaired = trainer.train(model)
    assert repaired.promoted
    assert len(tracking.versions(model.name)) == 1
    assert VersionTable(lake, model).champion().card == tracking.card(tracking.versions(model.name)[0])


def test_old_versions_are_let_go_and_the_one_in_use_is_not(lake: Lake, tracking: Tracking) -> None:
    model = replace(RISK, name="often_risk", beats=Bar("log_loss", by=0.9))  # which none can reach
    trainer = Trainer(lake, tracking, keep=2)
    champion = trainer.train(model)
    for name in ("country", "late_share", "order_haste"):
        trainer.train(replace(looking_at(name), name="often_risk", beats=model.beats))
    kept = {each.version for each in VersionTable(lake, model).all()}
    assert champion.version.version in kept
    assert len(kept) == 3
    assert {each.version for each in tracking.versions(model.name)} == kept


def test_the_forecast_beats_repetition_and_its_parts_add_up(trainer: Trainer, lake: Lake) -> None:
    trained = trainer.train(replace(CASH_IN, kind=CashForecast(fewest=1_000)))  # a small company has one series
    assert trained.version.metrics["scaled_error_total"] < 1
    assert 0.6 < trained.version.metrics["coverage"] < 0.95
    scored = score_table(lake, CASH_IN).frame
    assert scored.filter(series="total").height == 8
    parts = pl.sum_horizontal("open_eur", "to_bill_eur", "to_come_eur")
    assert scored.select((parts - pl.col("expected_eur")).abs().max()).item() < 0.05
    assert scored.filter((pl.col("low_eur") > pl.col("expected_eur")) | (pl.col("high_eur") < pl.col("low_eur"))).is_empty()
    first_week = CASH_IN.kind.explain(trained.version.card, scored.row(0, named=True))
    assert first_week[0].feature == "open_eur"  # of what comes next week, most is owed already
    assert score_table(lake, CASH_IN).table.version == "0"  # equal scores publish no new version


def test_a_model_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lake: Lake, tracking: Tracking) -> None:
    text = (
        "from models.classifier import AdditiveClassifier\n"
        "from models.model import Bar, Features, Model, Number, Split, Target\n"
        "SLOW = Model('slow_payer', 'Pays slowly', AdditiveClassifier(), ('order_id',),\n"
        "    Features('features/feat_order_risk', 'ordered_on', (Number('usual_days_late', 'usual days late'),)),\n"
        "    Target('features/feat_order_outcome', 'is_late', 'decided_on'), Split(), Bar('log_loss'))\n"
    )
    (tmp_path / "slow_payer.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    import slow_payer  # type: ignore[import-not-found]

    trained = Trainer(lake, tracking).train(slow_payer.SLOW)
    assert trained.promoted
    assert score_table(lake, slow_payer.SLOW).rows == lake.table("features/feat_order_risk").rows()
