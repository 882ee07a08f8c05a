"""Great Expectations over pandas. Usage: quality.py DATA.parquet SUITE.json RESULTS.json."""

import json
import logging
import os
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
os.environ["GX_ANALYTICS_ENABLED"] = "false"

import great_expectations as gx
import pandas as pd
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

data, suite, said = sys.argv[1:]
expectations = [ExpectationConfiguration(**one) for one in json.loads(Path(suite).read_text())]
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}

started = time.perf_counter()
frame = pd.read_parquet(data)
reading = time.perf_counter() - started
batch = context.data_sources.add_pandas("pandas").add_dataframe_asset("orders").add_batch_definition_whole_dataframe("whole")
suite = context.suites.add(gx.ExpectationSuite(name="orders", expectations=expectations))
validation = context.validation_definitions.add(gx.ValidationDefinition(name="orders", data=batch, suite=suite))
result = validation.run(batch_parameters={"dataframe": frame}, result_format={"result_format": "SUMMARY", "partial_unexpected_count": 20})
seconds = time.perf_counter() - started

# GX answers in an order of its own.
found = {
    json.dumps([one.expectation_config.type, one.expectation_config.kwargs.get("column")]): one.to_json_dict() for one in result.results
}
asked = [json.dumps([one.type, one.kwargs.get("column")]) for one in expectations]
Path(said).write_text(json.dumps({"results": [found[one] for one in asked], "reading": reading}, default=str))
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps({"rows": len(frame), "seconds": seconds, "peak_mb": peak}))
