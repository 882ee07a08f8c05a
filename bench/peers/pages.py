"""dlt's rest_api source, following OData's next links into a Delta table. Usage: pages.py SERVICE_URL FOLDER."""

import json
import os
import sys
import time
from pathlib import Path

os.environ.update({"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"})

import deltalake
import dlt
from dlt.sources.rest_api import rest_api_source

service, folder = sys.argv[1], Path(sys.argv[2])
started = time.perf_counter()
source = rest_api_source(
    {
        "client": {"base_url": service + "/", "paginator": {"type": "json_link", "next_url_path": "'@odata.nextLink'"}},
        "resources": [
            {
                "name": "orders",
                "endpoint": {"path": "SalesOrder", "data_selector": "value"},
                "table_format": "delta",
            }
        ],
    }
)
destination = dlt.destinations.filesystem(bucket_url=f"file://{folder}/lake")
pipeline = dlt.pipeline("bench_pages", pipelines_dir=str(folder / "pipelines"), destination=destination, dataset_name="raw")
pipeline.run(source, loader_file_format="parquet").raise_on_failed_jobs()
seconds = time.perf_counter() - started

rows = deltalake.DeltaTable(f"{folder}/lake/raw/orders").count()
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps({"rows": rows, "seconds": seconds, "peak_mb": peak}))
