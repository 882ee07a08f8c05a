"""Great Expectations' own look at every table: each rule over all rows that hold now, and Data Docs as a site.

A sync judges the rows it brings, and judges them while they stream. What only the whole table can tell (its row count, a
mean, uniqueness over all syncs) is judged here, with GX's results and pages. It stands apart because rendering a page
takes GX seconds, which a sync every minute does not have.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.failures import translated_errors
from assets.resource import PlatformResource

if TYPE_CHECKING:
    from assets.platform import Platform
    from quality.suite import ValidationResult


def data_docs_asset(raw: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """The asset that checks these raw tables as a whole."""

    @dg.asset(
        key=["quality", "data_docs"],
        deps=list(raw),
        group_name="quality",
        kinds={"greatexpectations"},
        owners=["team:data-engineering"],
        description="Every rule over every raw table as a whole, as Great Expectations' results and Data Docs.",
    )
    def data_docs(context: dg.AssetExecutionContext, platform: PlatformResource) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster knows only the bare class
        from assets.display import version_vector

        with translated_errors(context), platform.recording(context) as recorder:
            results = check_tables(platform.platform)
        broken = [f"- {result.name}: {each.describe()}" for result in results for each in result.report.results if not each.success]
        metadata: dict[str, Any] = {
            "tables": len(results),
            "rules": sum(len(result.report.results) for result in results),
            "broken": dg.MetadataValue.md("\n".join(broken) or "none"),
            "site": dg.MetadataValue.path(str(site(platform.platform))),
            "versions": version_vector(recorder.versions()),
        }
        return dg.MaterializeResult(metadata=metadata)

    return data_docs


def site(platform: "Platform") -> Path:
    """The first page of Data Docs."""
    return platform.settings.home / "data_docs" / "site" / "index.html"


def check_tables(platform: "Platform") -> list["ValidationResult"]:
    """Judge the rows that hold now of every raw table by its rules, and publish the pages."""
    from pilothouse.kernel.lake.current import current
    from quality.suite import validate

    results = []
    for source in platform.sources.values():
        for stream in source.streams:
            rules, table = platform.rules(source.name, stream), platform.lake.raw(source.name, stream)
            if rules and table.exists():
                results.append(validate(rules, current(table.scan()), platform.settings.home / "data_docs", name=table.name))
    return results
