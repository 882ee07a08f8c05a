"""simple-salesforce's bulk query, pandas and Delta, page by page. Usage: bulk.py URL FOLDER."""

import io
import json
import sys
import time
from pathlib import Path

import deltalake
import pandas as pd
import pyarrow as pa
from simple_salesforce import Salesforce

url, folder = sys.argv[1:3]
client = Salesforce(instance="127.0.0.1", session_id="bench", version="62.0")
client.bulk2_url = f"{url}/services/data/v62.0/jobs/"  # it knows https://*.salesforce.com alone
moments = ["CreatedDate", "LastModifiedDate", "SystemModstamp"]

started = time.perf_counter()
for page in client.bulk2.Account.query("SELECT Id FROM Account", wait=0):
    frame = pd.read_csv(io.StringIO(page), parse_dates=moments)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    deltalake.write_deltalake(folder, table, mode="append")
seconds = time.perf_counter() - started

peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps({"rows": deltalake.DeltaTable(folder).count(), "seconds": seconds, "peak_mb": peak}))
