"""dlt keeping a Delta table like its source by cursor and merge. Usage: changes.py URL FOLDER load|merge STREAMED."""

import json
import os
import sys
import time
from pathlib import Path

url, folder, step, streamed = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
os.environ.update({"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"})
os.environ["DESTINATION__FILESYSTEM__DELTALAKE_STREAMED_EXEC"] = streamed

import connectorx  # noqa: F401 - what is imported is not measured
import deltalake
import dlt
from dlt.sources.sql_database import sql_table

started = time.perf_counter()
orders = sql_table(
    url.replace("postgresql://", "postgresql+psycopg2://"),
    "orders",
    backend="connectorx",
    chunk_size=100_000,
    backend_kwargs={"conn": url, "return_type": "arrow_stream"},
    incremental=dlt.sources.incremental("updated_at"),
    primary_key="id",
)
orders.apply_hints(table_format="delta")
destination = dlt.destinations.filesystem(bucket_url=f"file://{folder}/lake")
pipeline = dlt.pipeline("bench_changes", pipelines_dir=str(folder / "pipelines"), destination=destination, dataset_name="raw")
disposition = {"disposition": "merge", "strategy": "upsert"} if step == "merge" else "append"
pipeline.run(orders, loader_file_format="parquet", write_disposition=disposition).raise_on_failed_jobs()
seconds = time.perf_counter() - started

table = deltalake.DeltaTable(f"{folder}/lake/raw/orders")
if step == "merge" and table.history(1)[0]["operation"] != "MERGE":
    sys.exit(f"no merge: {table.history(1)}")
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps({"rows": table.count(), "seconds": seconds, "peak_mb": peak}))
