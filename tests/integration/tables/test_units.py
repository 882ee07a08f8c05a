"""The models' own unit tests, and what the project says of who reads its tables."""

from __future__ import annotations

from pathlib import Path

from pilothouse.tables.building import Builder
from pilothouse.tables.dbt import Dbt
from pilothouse.tables.plugin import Served, serving
from pilothouse.tables.project import Project, relation
from tests.raw_company import RawCompany


def test_models_do_with_given_rows_what_is_expected(raw: RawCompany, builder: Builder, project: Project, work: Path) -> None:
    names = [table.name for table in raw.lake.tables()]
    with serving(Served(raw.lake, {relation(name): raw.lake.table(name).files() for name in names})):
        ran = Dbt(project.folder, work).unit_tests()
    assert len(ran) >= 4
    assert [(each.name, each.message) for each in ran if not each.ok] == []


def test_every_table_for_others_is_told_who_reads_it(project: Project, work: Path) -> None:
    manifest = Dbt(project.folder, work).manifest
    read = {name.rpartition(".")[2] for exposure in manifest.exposures.values() for name in exposure.depends_on.nodes}
    assert {model.name for model in project.published.values() if model.layer in {"marts", "features"}} <= read
