"""Commands about models: train, compare, score, and ask what if."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pilothouse.cli.inspecting import open_platform, pinned
from pilothouse.cli.output import Json, console, print_json, print_rows, told_plainly
from pilothouse.kernel.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from assets.platform import Platform
    from models.model import Model
    from models.scoring import Score
    from models.stress import Stressed
    from models.versions import Version

app = typer.Typer(name="model", help="Models: list, train, show, score, stress, promote.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="MODEL", help="Such as late_payment_risk.")]
_FIGURES = ("auc", "log_loss", "ece")


@app.command("list")
@told_plainly
def list_models(json_output: Json = False) -> None:  # noqa: FBT002 - typer
    """List the models there are, and which version of each is used.

    Example: pilothouse model list
    """
    from models.versions import VersionTable

    with open_platform() as platform:
        rows = [_in_short(model, VersionTable(platform.lake, model).all()) for model in platform.models.values()]
    if json_output:
        print_json(rows)
    else:
        print_rows(rows, right=("version", "versions"))


@app.command()
@told_plainly
def train(
    names: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="Which; all where none is named.")] = None,
    at: Annotated[
        list[str] | None, typer.Option("--at", metavar="TABLE=VERSION", help="Learn from a table at a version. May be repeated.")
    ] = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Train models on what the tables say, keep them in MLflow, use those that are better than their incumbents, and score by them.

    Example: pilothouse model train late_payment_risk
    """
    from models.training import read_tables
    from models.versions import VersionTable
    from orchestration.syncing import train as run

    with open_platform() as platform:
        models = [platform.model(name) for name in names or platform.models]
        pins, home = dict(map(pinned, at or ())), platform.settings.home / "dagster"
        if strange := sorted(set(pins) - {table for model in models for table in model.tables}):
            raise ConfigError(
                f"{strange[0]} is not read by {', '.join(model.name for model in models)}",
                hint=f"{models[0].name} reads {', '.join(models[0].tables)}",
            )
        for model in models:
            read_tables(platform.lake, model, {name: version for name, version in pins.items() if name in model.tables})
        before = {model.name: _newest(VersionTable(platform.lake, model).all()) for model in models}
        run(home, [model.name for model in models], pins)
        trained = {model.name: VersionTable(platform.lake, model).all() for model in models}
    if json_output:
        print_json([{"model": name, "new": _newest(all_) != before[name], **_version_as_json(all_[0])} for name, all_ in trained.items()])
        return
    for name, versions in trained.items():
        _tell_trained(name, versions[0], new=_newest(versions) != before[name])


@app.command()
@told_plainly
def show(
    name: Name,
    version: Annotated[int | None, typer.Option("--version", help="One of its versions; the one that is used by default.")] = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Show a model: what it is, its versions, how good they are, and what the one asked for was trained on.

    Example: pilothouse model show late_payment_risk
    """
    from models.versions import VersionTable

    with open_platform() as platform:
        model = platform.model(name)
        table = VersionTable(platform.lake, model)
        chosen = table.champion() if version is None else table.get(version)
        everything = table.all()
    if json_output:
        print_json({"model": model.name, "description": model.description, "versions": [_version_as_json(each) for each in everything]})
        return
    console.print(f"[bold]{model.name}[/]  {escape(model.description)}", soft_wrap=True)
    print_rows([_row_of(each) for each in everything], right=("version", *_FIGURES))
    console.print(f"\nVersion {chosen.version} learned from ", end="")
    console.print(", ".join(f"{entry['name']}@{entry['version']}" for entry in chosen.versions["read"]), soft_wrap=True)
    console.print(f"and has seen nothing from {chosen.seen_until} on.")


@app.command()
@told_plainly
def score(
    name: Name,
    key: Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="The row's key, such as the number of an order.")] = None,
    version: Annotated[int | None, typer.Option("--version", help="By this version; by the one that is used by default.")] = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Score one row with its reasons; without a key, score the whole table.

    Example: pilothouse model score late_payment_risk 1000100
    """
    from models.scoring import Scorer, score_table

    with open_platform() as platform:
        model = platform.model(name)
        if not key:
            scored = score_table(platform.lake, model)
            told = {
                "table": scored.table.name,
                "table_version": int(scored.table.version),
                "rows": scored.rows,
                "model_version": scored.version.version,
            }
            print_json(told) if json_output else console.print(
                f"{scored.rows:,} rows of {model.scores} by version {scored.version.version}"
            )
            return
        _requires_classifier(model)
        row = _row(platform, model, key)
        found = Scorer.of(platform.lake, model, version).score(row)
    _tell_score(model, key, found, as_json=json_output)


@app.command()
@told_plainly
def stress(
    name: Name,
    scenario: Annotated[str | None, typer.Argument(metavar="[SCENARIO]", help="One of the declared ones; all where none is named.")] = None,
    what_if: Annotated[
        list[str] | None,
        typer.Option("--if", metavar="SHIFT", help="Suppose something else, such as 'industry_output*0.8'. May be repeated."),
    ] = None,
    firm: Annotated[str | None, typer.Option("--firm", help="Of the orders of this firm alone.")] = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Ask what would be said if some features said otherwise: if ratings fell, or an industry slumped.

    Example: pilothouse model stress late_payment_risk rating-drops --firm s4:10100001
    """
    import polars as pl

    from models.stress import scenario_called, spoken, stressed
    from models.versions import VersionTable

    with open_platform() as platform:
        model = platform.model(name)
        _requires_classifier(model)
        champion = VersionTable(platform.lake, model).champion()
        rows = platform.lake.table(model.features.table).scan()
        rows = rows.filter(pl.col("firm_id") == firm) if firm else rows
        frame = rows.collect()
        declared = [scenario_called(model, scenario)] if scenario else list(model.scenarios)
        asked = [spoken(model, what_if)] if what_if else declared
        found = [stressed(model, champion.card, frame, each) for each in asked]
    if json_output:
        print_json([_stressed_as_json(each) for each in found])
        return
    print_rows([_stressed_as_row(each) for each in found], right=("rows", "before", "after", "risky before", "risky after"))
    for each in found:
        if each.beyond:
            console.print(
                f"[yellow]{each.scenario.name}: {each.beyond:,} rows lie beyond what the model has seen[/]; there it answers as at the edge"
            )


@app.command()
@told_plainly
def promote(
    name: Name,
    version: Annotated[int | None, typer.Argument(metavar="[VERSION]", help="Which; without one, that which MLflow's alias names.")] = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Use a version because you say so, whatever it was compared with.

    Example: pilothouse model promote late_payment_risk 3
    """
    with open_platform() as platform:
        champion = platform.trainer.promote(platform.model(name), version)
    if json_output:
        print_json(_version_as_json(champion))
    else:
        console.print(f"{name}: version {champion.version} is used")


def _requires_classifier(model: Model) -> None:
    if model.kind.called != "classifier":
        raise ModelError(
            f"{model.name} is a {model.kind.called}, and has no rows to score one by one",
            hint=f"`pilothouse model score {model.name}` makes it anew",
        )


def _row(platform: Platform, model: Model, key: list[str]) -> dict[str, Any]:
    import polars as pl

    if len(key) != len(model.key):
        raise ConfigError(f"the key of {model.name} has {len(model.key)} parts: {', '.join(model.key)}", hint="give them in this order")
    same = [pl.col(name).cast(pl.String) == value for name, value in zip(model.key, key, strict=True)]
    found = platform.lake.table(model.features.table).scan().filter(*same).collect()
    if found.is_empty():
        raise ConfigError(f"{model.features.table}: no row {', '.join(key)}", hint="`pilothouse query` shows which there are")
    return found.row(0, named=True)


def _in_short(model: Model, versions: list[Version]) -> dict[str, Any]:
    champion = next((each for each in versions if each.is_champion), None)
    return {
        "model": model.name,
        "kind": model.kind.called,
        "reads": ", ".join(model.tables),
        "version": champion.version if champion else None,
        "versions": len(versions),
        "seen_until": champion.seen_until if champion else None,
        "trained": champion.trained_at if champion else None,
        "verdict": champion.verdict if champion else "not trained",
    }


def _row_of(version: Version) -> dict[str, Any]:
    figures = {name: f"{version.metrics[name]:.4f}" for name in _FIGURES if name in version.metrics}
    others = {name: f"{value:.4g}" for name, value in list(version.metrics.items())[:3]} if not figures else {}
    return {
        "version": version.version,
        "used": "yes" if version.is_champion else "",
        "trained": version.trained_at,
        **(figures or others),
        "verdict": version.verdict,
    }


def _version_as_json(version: Version) -> dict[str, Any]:
    return {name: value for name, value in vars(version).items() if name != "card"}


def _newest(versions: list[Version]) -> int:
    return versions[0].version if versions else 0


def _tell_trained(name: str, version: Version, *, new: bool) -> None:
    how = "" if new else " (nothing new to learn from)"
    console.print(f"[bold]{name}[/] version {version.version}{how}: {escape(version.verdict)}", soft_wrap=True)
    console.print("  " + ", ".join(f"{figure} {value:.4g}" for figure, value in version.metrics.items()), soft_wrap=True)


def _tell_score(model: Model, key: list[str], found: Score, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "model": model.name,
                "model_version": found.version,
                "key": dict(zip(model.key, key, strict=True)),
                "score": found.score,
                "base": found.base,
                "reasons": [vars(reason) for reason in found.reasons],
                "unseen": found.unseen,
            }
        )
        return
    console.print(f"[bold]{found.score:.1%}[/] {escape(', '.join(key))}, by version {found.version} of {model.name}")
    rows: list[dict[str, Any]] = [{"what": "the average row", "says": "", "adds": f"{found.base:+.3f}"}]
    rows += [
        {"what": reason.words, "says": "nothing" if reason.value is None else _figure(reason.value), "adds": f"{reason.adds:+.3f}"}
        for reason in found.reasons
    ]
    print_rows(rows, right=("says", "adds"))
    if found.unseen:
        console.print(
            f"[yellow]not seen in training[/]: {', '.join(found.unseen)} (a category counts as others, a number as the nearest seen)"
        )


def _figure(value: Any) -> str:
    return value if isinstance(value, str) else f"{float(value):,.4g}" if abs(float(value)) < 1e4 else f"{float(value):,.0f}"


def _stressed_as_row(found: Stressed) -> dict[str, Any]:
    return {
        "scenario": found.scenario.name,
        "what if": found.scenario.words,
        "rows": found.rows,
        "before": f"{found.before:.2%}",
        "after": f"{found.after:.2%}",
        "risky before": found.risky_before,
        "risky after": found.risky_after,
    }


def _stressed_as_json(found: Stressed) -> dict[str, Any]:
    worst = found.frame.with_columns(rise=found.frame["after"] - found.frame["before"]).top_k(10, by="rise")
    return {
        "scenario": found.scenario.name,
        "what_if": found.scenario.words,
        "rows": found.rows,
        "before": found.before,
        "after": found.after,
        "risky_before": found.risky_before,
        "risky_after": found.risky_after,
        "beyond_what_was_seen": found.beyond,
        "most_affected": worst.to_dicts(),
    }
