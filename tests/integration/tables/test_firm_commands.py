"""The commands about firms, over tables of a small company."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from pilothouse.cli.app import app
from pilothouse.tables.building import Builder
from tests.integration.tables.test_building import built
from tests.raw_company import RawCompany


@pytest.fixture(autouse=True)
def project_file(
    raw: RawCompany, builder: Builder, work: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    built(builder)
    home = tmp_path_factory.getbasetemp() / "firm_commands"
    if not home.exists():
        shutil.copytree(work, home / "tables")  # what dbt keeps: who asks of firms parses nothing anew
    file = home / "pilothouse.toml"
    file.write_text(f'home = "{home}"\n[lake]\nurl = "{raw.lake.url}"\n')
    monkeypatch.setenv("PILOTHOUSE_CONFIG", str(file))
    return file


def told(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["firm", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def answer(*arguments: str) -> Any:
    return json.loads(told(*arguments, "--json"))


def two_of_one(raw: RawCompany) -> tuple[str, str]:
    links = raw.lake.table("intermediate/int_firm_link").scan().filter("is_same").sort("left_id").collect()
    left, right = links.select("left_id", "right_id").row(0)
    return left, right


def test_a_firm_shows_its_records_and_what_holds_them(raw: RawCompany) -> None:
    left, right = two_of_one(raw)
    firm = answer("explain", left)
    assert {left, right} <= {row["id"] for row in firm["records"]}
    assert any({left, right} == {link["left"], link["right"]} for link in firm["links"])
    assert answer("explain", firm["firm"])["firm"] == firm["firm"]
    assert "Linked by" in told("explain", left)


def test_two_records_are_compared_piece_by_piece(raw: RawCompany, tmp_path: Path) -> None:
    left, right = two_of_one(raw)
    pair = answer("explain", left, right)
    assert pair["one_firm"]
    assert pair["prior"] + sum(piece["weight"] for piece in pair["evidence"].values()) == pytest.approx(pair["weight"], abs=0.01)
    chart = tmp_path / "pair.html"
    assert "one firm" in told("explain", left, right, "--chart", str(chart))
    assert "vega" in chart.read_text()


def test_a_word_about_two_records_is_noted_once_it_makes_sense(raw: RawCompany) -> None:
    left, right = two_of_one(raw)
    assert "are one firm already" in told("merge", left, right, "--no-build", code=1)
    assert f"{left} and {right}: same, says ada" in told("confirm", left, right, "--by", "ada", "--no-build")
    assert answer("confirm", left, right, "--by", "bob", "--no-build") == {
        "left": min(left, right),
        "right": max(left, right),
        "said": "same",
        "by": "bob",
        "tables": [],
    }
    assert {said["by"] for said in answer("explain", left)["corrections"]} >= {"bob"}
    firm = answer("explain", left)["firm"]
    others = raw.lake.table("intermediate/int_firm_member").scan().filter(pl.col("firm_id") != firm).collect()
    assert "are two firms" in told("split", left, others["firm_id"][0], "--no-build", code=1)
    assert "no record 's4:nobody'" in told("split", left, "s4:nobody", "--no-build", code=1)
    assert "is one record" in told("merge", left, left, "--no-build", code=1)


def test_doubts_are_those_nobody_spoke_about(raw: RawCompany) -> None:
    told("confirm", *two_of_one(raw), "--by", "ada", "--no-build")
    rows = answer("doubts", "--limit", "500")
    said = {frozenset(two_of_one(raw))}
    assert rows
    assert not said & {frozenset((row["left"], row["right"])) for row in rows}
    assert {row["taken_as"] for row in rows} <= {"one firm", "two firms"}


def test_a_source_row_tells_what_depends_on_it(raw: RawCompany) -> None:
    order = raw.lake.raw("s4", "sales_order").scan().select("_row_id", "SalesOrder").first().collect().row(0, named=True)
    result = CliRunner().invoke(app, ["impact", "raw/s4/sales_order", order["_row_id"].hex(), "--json"])
    found = {(row["table"], *row["key"].values()) for row in json.loads(result.output)}
    assert ("marts/fct_order", order["SalesOrder"]) in found
    missing = CliRunner().invoke(app, ["impact", "raw/s4/sales_order", "0" * 32])
    assert missing.exit_code == 1
    assert "no row" in missing.output
    assert "no raw table" in CliRunner().invoke(app, ["impact", "marts/fct_order", "1"]).output


def test_a_chart_needs_two_records(raw: RawCompany, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["firm", "explain", two_of_one(raw)[0], "--chart", str(tmp_path / "x.html")])
    assert result.exit_code == 2
