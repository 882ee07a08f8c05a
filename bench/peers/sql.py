"""dlt's sql_database source by connectorx into a Delta table. Usage: sql.py URL FOLDER arrow|arrow_stream [ids]."""

import json
import os
import sys
import time
from pathlib import Path

os.environ.update({"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"})

import connectorx  # noqa: F401 - what is imported is not measured
import deltalake
import dlt
from dlt.sources.sql_database import sql_table

url, folder, way = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
if "ids" in sys.argv[4:]:  # the identity of each row and of its load
    os.environ.update({"NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_ID": "true", "NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID": "true"})
started = time.perf_counter()
orders = sql_table(
    url.replace("postgresql://", "postgresql+psycopg2://"),
    "orders",
    backend="connectorx",
    chunk_size=100_000,
    backend_kwargs={"conn": url, "return_type": way},
)
orders.apply_hints(table_format="delta")
destination = dlt.destinations.filesystem(bucket_url=f"file://{folder}/lake")
pipeline = dlt.pipeline("bench_sql", pipelines_dir=str(folder / "pipelines"), destination=destination, dataset_name="raw")
pipeline.run(orders, loader_file_format="parquet", write_disposition="append").raise_on_failed_jobs()
seconds = time.perf_counter() - started

rows = deltalake.DeltaTable(f"{folder}/lake/raw/orders").count()
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps({"rows": rows, "seconds": seconds, "peak_mb": peak}))
