"""Dagster's own settings: PostgreSQL behind it, retention on, no telemetry, no first-visit dialog over every page."""

from __future__ import annotations

import os
from pathlib import Path

import yaml


def write(home: Path, *, database_url: str, code_port: int) -> None:
    """Write `dagster.yaml` (readable by its owner alone: it holds a password) and `workspace.yaml`."""
    home.mkdir(parents=True, exist_ok=True)
    # SQLAlchemy 2.1 takes a bare postgresql:// for psycopg 3, on which dagster-postgres breaks.
    url = database_url.replace("postgresql://", "postgresql+psycopg2://", 1)
    settings = {
        "storage": {
            "custom": {"module": "orchestration.realtime.storages", "class": "PooledStorage", "config": {"postgres_url": url}},
        },
        "run_coordinator": {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"},
        "concurrency": {
            "runs": {  # what people approved does not wait behind tables that are made (`orchestration/lanes.py`)
                "max_concurrent_runs": 3,
                "tag_concurrency_limits": [{"key": "pilothouse/lane", "value": "background", "limit": 2}],
            }
        },
        "run_monitoring": {"enabled": True, "start_timeout_seconds": 300, "poll_interval_seconds": 30},
        # A run whose process died is started again; one that failed with an error of ours has said whether that helps.
        "run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False},
        "freshness": {"enabled": True},
        "retention": {
            "schedule": {"purge_after_days": {"skipped": 1, "failure": 30, "success": 14, "started": 14}},
            "sensor": {"purge_after_days": {"skipped": 1, "failure": 30, "success": 14, "started": 14}},
        },
        "compute_logs": {
            "module": "dagster._core.storage.local_compute_log_manager",
            "class": "LocalComputeLogManager",
            "config": {"base_dir": str(home / "logs")},
        },
        "local_artifact_storage": {
            "module": "dagster._core.storage.root",
            "class": "LocalArtifactStorage",
            "config": {"base_dir": str(home / "storage")},
        },
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
    }
    workspace = {"load_from": [{"grpc_server": {"host": "127.0.0.1", "port": code_port, "location_name": "pilothouse"}}]}
    _write(home / "dagster.yaml", settings)
    _write(home / "workspace.yaml", workspace)


def _write(path: Path, content: object) -> None:
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        yaml.safe_dump(content, file, sort_keys=False)
    draft.replace(path)
