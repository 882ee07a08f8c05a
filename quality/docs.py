"""Data Docs: Great Expectations' own HTML site, one page a table with its latest validation, and an index.

One page a table, that of its latest validation: the history of checks is Dagster's, which has a retention, while GX keeps
every run for ever. Publications of many processes into one folder take turns, since the index lists all results.

Importing this module imports GX.
"""

from __future__ import annotations

import fcntl
import shutil
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from great_expectations.data_context.data_context.context_factory import get_context
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
    from great_expectations.data_context.types.base import DataContextConfig, ProgressBarsConfig
    from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier, ValidationResultIdentifier

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult

SITE = "local"
_one_at_a_time = threading.Lock()


def publish(result: ExpectationSuiteValidationResult, suite: ExpectationSuite, folder: Path) -> Path:
    """Write one table's page and the index of all tables below `folder`; returns the page."""
    with _alone(folder):
        context = _context(folder)
        name = ExpectationSuiteIdentifier(result.suite_name)
        context.suites.add_or_update(suite)
        table = Path(*result.suite_name.split("."))
        for old in (folder / "results" / table, folder / "site" / "validations" / table):
            shutil.rmtree(old, ignore_errors=True)
        key = ValidationResultIdentifier(name, result.meta["run_id"], result.suite_name)
        context.validation_results_store.set(key, _showable(result))
        context.build_data_docs(site_names=[SITE], resource_identifiers=[key])
        context.build_data_docs(site_names=[SITE], resource_identifiers=[name])
        url = context.get_docs_sites_urls(resource_identifier=key, site_name=SITE)[0]["site_url"]
        return Path(str(url).removeprefix("file://"))


def _showable(result: ExpectationSuiteValidationResult) -> ExpectationSuiteValidationResult:
    """GX's page stumbles over its own results about distinct values: they have an unexpected count and unexpected values, but no
    percentage. It would log an error for each and leave the part out; without these entries it leaves the part out in peace."""
    shown = deepcopy(result)
    for found in shown.results:
        if "unexpected_percent" not in found.result:
            for entry in ("unexpected_count", "partial_unexpected_list", "partial_unexpected_counts", "unexpected_list"):
                found.result.pop(entry, None)
    return shown


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One publication at a time: in this process, because GX finds "the" data context in a global, and in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time, (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _context(folder: Path) -> EphemeralDataContext:
    """A data context for this one publication: no project on disk, no telemetry. GX holds the latest in a global."""
    stores: dict[str, Any] = {
        "expectations_store": {"class_name": "ExpectationsStore", "store_backend": _files(folder / "suites", ".json")},
        "validation_results_store": {"class_name": "ValidationResultsStore", "store_backend": _files(folder / "results", ".json")},
        "checkpoint_store": {"class_name": "CheckpointStore", "store_backend": {"class_name": "InMemoryStoreBackend"}},
        "validation_definition_store": {"class_name": "ValidationDefinitionStore", "store_backend": {"class_name": "InMemoryStoreBackend"}},
    }
    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder / "site")},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    return get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            config_version=4.0,
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False),
            stores=stores,
            expectations_store_name="expectations_store",
            validation_results_store_name="validation_results_store",
            checkpoint_store_name="checkpoint_store",
            data_docs_sites={SITE: site},
        ),
    )


def _files(folder: Path, suffix: str) -> dict[str, Any]:
    return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder), "filepath_suffix": suffix}
