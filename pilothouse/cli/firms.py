"""Commands about firms: which records are one, why, and a person's word that it is otherwise."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from pilothouse.cli.building import as_json, run_build
from pilothouse.cli.inspecting import open_platform
from pilothouse.cli.output import Json, console, print_json, print_rows, told_plainly

if TYPE_CHECKING:
    from assets.firms import Firm, Saying
    from graph.resolution.resolver import Weighed

app = typer.Typer(
    name="firm", help="Firms of many records: explain, doubts, and what a person says: confirm, split, merge.", no_args_is_help=True
)
Left = Annotated[str, typer.Argument(metavar="RECORD", help="Such as s4:10100001 or crm:001J8000000001tIAA.")]
Right = Annotated[str, typer.Argument(metavar="OTHER", help="The other record.")]
By = Annotated[str, typer.Option("--by", help="Who says so; the user of this machine by default.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why, for whoever asks later.")]
Build = Annotated[bool, typer.Option("--build/--no-build", help="Bring all tables up to it at once, or leave that to the next build.")]


@app.command()
@told_plainly
def explain(
    record: Annotated[str, typer.Argument(metavar="RECORD", help="A record or a firm, such as s4:10100001.")],
    other: Annotated[str | None, typer.Argument(metavar="[OTHER]", help="Compare with this record, one firm or not.")] = None,
    chart: Annotated[Path | None, typer.Option("--chart", help="Write the comparison as a page with a waterfall chart.")] = None,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """Show a firm with its records and what holds them together; or how two records compare, piece by piece.

    Example: pilothouse firm explain s4:10100001 crm:001J8000000001tIAA --chart pair.html
    """
    from assets.firms import Firms

    if chart is not None and other is None:
        raise typer.BadParameter("a chart compares two records: name the other one, too", param_hint="--chart")
    with open_platform() as platform:
        firms = Firms(platform)
        if other is None:
            _tell_firm(firms.firm(record), as_json=json_output)
            return
        compared = firms.compared(record, other)
        one = firms.firm_of(record) == firms.firm_of(other)
    if chart is not None:
        chart.write_text(compared.chart)
    _tell_pair(record, other, compared, one_firm=one, as_json=json_output)


@app.command()
@told_plainly
def doubts(
    limit: Annotated[int, typer.Option("--limit", help="Pairs to print.", min=1)] = 20,
    json_output: Json = False,  # noqa: FBT002 - typer
) -> None:
    """The pairs of records of which the resolver was least sure, and nobody has spoken.

    Example: pilothouse firm doubts --limit 5
    """
    from assets.firms import Firms

    with open_platform() as platform:
        rows = Firms(platform).doubts(limit)
    if json_output:
        print_json(rows)
    else:
        print_rows(rows, right=("probability",))


@app.command()
@told_plainly
def confirm(
    record: Left,
    other: Right,
    by: By = "",
    reason: Reason = "",
    build: Build = True,  # noqa: FBT002 - typer
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Two records are one firm, as was found: they stay so whatever changes.

    Example: pilothouse firm confirm s4:10100001 crm:001J8000000001tIAA --reason "same tax office letter"
    """
    _say("confirm", record, other, by, reason, build=build, quiet=json_output)


@app.command()
@told_plainly
def split(
    record: Left,
    other: Right,
    by: By = "",
    reason: Reason = "",
    build: Build = True,  # noqa: FBT002 - typer
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Two records are not one firm, though they were taken as one.

    Example: pilothouse firm split s4:10100001 crm:001J8000000001tIAA --reason "father and son, two companies"
    """
    _say("split", record, other, by, reason, build=build, quiet=json_output)


@app.command()
@told_plainly
def merge(
    record: Left,
    other: Right,
    by: By = "",
    reason: Reason = "",
    build: Build = True,  # noqa: FBT002 - typer
    json_output: Json = False,  # noqa: FBT002
) -> None:
    """Two records are one firm, though they were taken as two.

    Example: pilothouse firm merge s4:10100001 s4:10100777 --reason "renamed in March"
    """
    _say("merge", record, other, by, reason, build=build, quiet=json_output)


def _say(saying: Saying, record: str, other: str, by: str, reason: str, *, build: bool, quiet: bool) -> None:
    from assets.firms import Firms

    with open_platform() as platform:
        correction = Firms(platform).said(saying, record, other, by=by or getpass.getuser(), reason=reason)
        home = platform.settings.home / "dagster"
    left, right = correction.pair
    if not quiet:
        console.print(f"{left} and {right}: {correction.verdict}, says {escape(correction.said_by)}", soft_wrap=True)
    made = run_build(home, [], quiet=quiet) if build else []
    if quiet:
        print_json({"left": left, "right": right, "said": correction.verdict, "by": correction.said_by, "tables": as_json(made)})
    if any(each.how == "failed" for each in made):
        raise typer.Exit(1)


def _tell_firm(firm: Firm, *, as_json: bool) -> None:
    ids = {row["id"] for row in firm.records}
    pairs = [_pair(row) for row in firm.links if row["is_same"] and {row["left_id"], row["right_id"]} <= ids]
    doubted = [_pair(row) for row in firm.links if not (row["is_same"] and {row["left_id"], row["right_id"]} <= ids)]
    said = [
        {"left": each.pair[0], "right": each.pair[1], "said": each.verdict, "by": each.said_by, "at": each.said_at, "reason": each.reason}
        for each in firm.corrections
    ]
    if as_json:
        print_json({"firm": firm.id, "records": firm.records, "links": pairs, "doubted": doubted, "corrections": said})
        return
    console.print(f"[bold]{escape(firm.id)}[/]: {len(firm.records)} records")
    print_rows([{name: value for name, value in row.items() if name not in {"through", "weight"}} for row in firm.records])
    for title, rows in (("Linked by", pairs), ("Doubted, or kept apart", doubted), ("Said", said)):
        if rows:
            console.print()
            print_rows(rows, title=title, right=("probability",))


def _pair(row: dict[str, Any]) -> dict[str, Any]:
    evidence = ", ".join(
        f"{name.replace('_', ' ')}: {level} ({weight:+.1f})" for name, (level, weight) in json.loads(row["evidence"]).items()
    )
    return {"left": row["left_id"], "right": row["right_id"], "probability": row["probability"], "evidence": evidence}


def _tell_pair(record: str, other: str, compared: Weighed, *, one_firm: bool, as_json: bool) -> None:
    if as_json:
        evidence = {name: {"level": level, "weight": weight} for name, (level, weight) in compared.evidence.items()}
        told = {"left": record, "right": other, "one_firm": one_firm, "probability": compared.probability, "weight": compared.weight}
        print_json({**told, "prior": compared.prior, "evidence": evidence})
        return
    console.print(
        f"{escape(record)} and {escape(other)}: {'one firm' if one_firm else 'two firms'}, probability {compared.probability:.6f}"
    )
    total, rows = (
        compared.prior,
        [{"what": "any two records", "how": "", "weight": f"{compared.prior:+.1f}", "sum": f"{compared.prior:.1f}"}],
    )
    for name, (level, weight) in compared.evidence.items():
        total += weight
        rows.append({"what": name.replace("_", " "), "how": level, "weight": f"{weight:+.1f}", "sum": f"{total:.1f}"})
    print_rows(rows, right=("weight", "sum"))
