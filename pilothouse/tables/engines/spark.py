"""Spark, over the same Delta tables: for what is larger than one machine.

A session of Spark runs in this process (its driver; the work is done wherever `spark.master` says). Models read views over Delta's
own time travel, so each input is at the version that the build named, and write Parquet into Spark's warehouse, which only lives
as long as their wave: what is published is committed by us.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake.duck import Scan
from pilothouse.kernel.maven import Jar, fetched
from pilothouse.kernel.settings import TableSettings
from pilothouse.kernel.stores import local_path
from pilothouse.tables.dbt import Dbt
from pilothouse.tables.engines import Outcome, Relation, Wave
from pilothouse.tables.engines.handed import Files, handed_over
from pilothouse.tables.engines.warehouse import require
from pilothouse.tables.project import Model

_GROUP: Final = "io.delta"
_DELTA: Final = "4.4.0"  # for Spark 4.2
JARS: Final = (
    Jar(_GROUP, "delta-spark_2.13", _DELTA, "27d4fd8b1f879535c573ed1c718177d6a27f24d3e626ba02e216369725721ead"),
    Jar(_GROUP, "delta-storage", _DELTA, "c46735481fa8e326b0957be02b4420cbcab4b325bb08009b7f2045a95133f1cc"),
    Jar(_GROUP, "delta-kernel-api", _DELTA, "ee9b5a14ac3b7efdff4d61a58478fe8eb0e5a3fbca43889dca7290795fe79a11"),
    Jar(_GROUP, "delta-kernel-defaults", _DELTA, "225c975199e4718b38ee5b7e6da7f19e9585024262b2cec2656b32151a856b0b"),
    Jar(_GROUP, "delta-kernel-unitycatalog", _DELTA, "cea22dfb4ac562b3cd27bf652697750e8336009d73fb06631363aaaad5345ffa"),
)
_JAVA: Final = "spark.driver.extraJavaOptions"
_LOG: Final = """rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
appender.file.type = File
appender.file.name = file
appender.file.fileName = {file}
appender.file.append = false
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %c: %m%n
"""


class SparkEngine:
    """One session for all waves of this process."""

    in_part = True

    def __init__(self, lake: Lake, project: Path, work: Path, settings: TableSettings) -> None:
        require("spark", ("pyspark", "dbt.adapters.spark"))
        self._lake = lake
        self._settings = settings
        self._work = work / "spark"
        self._dbt = Dbt(project, self._work, "spark", {"threads": settings.threads})

    @contextmanager
    def making(self, wave: Wave) -> Iterator[Outcome]:
        """Make it in Spark's warehouse, and read it from there."""
        session = self._session
        databases = {schema for schema, _ in wave.inputs} | {model.layer for model in wave.models}
        if wave.parts:
            databases |= {"before", "changes"}
        try:
            self._serve(wave, databases)
            ran = self._dbt.build([model.name for model in wave.models], variables={"incremental": sorted(wave.parts)})

            def example(sql: str) -> Sequence[Any] | None:
                found: Sequence[Any] | None = session.sql(sql).first()
                return found

            with handed_over(self._lake, self._settings, wave, self._files(wave, ran)) as connection:
                yield Outcome(ran, connection.cursor, example)
        finally:
            for database in databases:
                session.sql(f"DROP DATABASE IF EXISTS `{database}` CASCADE")

    def close(self) -> None:
        """End the session, where one was begun."""
        if "_session" in self.__dict__:
            self._session.stop()
            del self._session
            shutil.rmtree(self._work / str(os.getpid()), ignore_errors=True)

    def _serve(self, wave: Wave, databases: set[str]) -> None:
        run = self._session.sql
        for database in databases:
            run(f"DROP DATABASE IF EXISTS `{database}` CASCADE")  # what a wave that broke off may have left
            run(f"CREATE DATABASE `{database}`")
        relations: dict[Relation, Scan] = dict(wave.inputs)
        relations |= {("before", model): part.before for model, part in wave.parts.items()}
        for (schema, name), scan in relations.items():
            run(f"CREATE VIEW `{schema}`.`{name}` AS SELECT * FROM {time_travel(self._lake, scan)}")
        for part in wave.parts.values():
            for called, (lost, gained) in part.changes.items():
                was, now = self._read(lost), self._read(gained)
                was.exceptAll(now).union(now.exceptAll(was)).write.saveAsTable(f"`changes`.`{called}`")

    def _read(self, scan: Scan) -> Any:
        """Files as rows under all columns, also those that a file was written before."""
        from pyspark.sql.pandas.types import from_arrow_schema

        schema = from_arrow_schema(scan.schema)
        if not scan.uris:
            return self._session.createDataFrame([], schema)
        return self._session.read.schema(schema).parquet(*map(_hadoop, scan.uris))

    def _files(self, wave: Wave, ran: Sequence[Any]) -> Mapping[Model, Files]:
        made = {each.name for each in ran if each.kind == "model" and each.ok}
        found = {}
        for model in wave.models:
            if model.published and model.name in made:
                name = f"`{model.layer}`.`{model.name}"
                if model.name in wave.parts:
                    found[model] = Files(self._paths(f"{name}__made`"), self._paths(f"{name}__touched`"))
                else:
                    found[model] = Files(self._paths(f"{name}`"))
        return found

    def _paths(self, table: str) -> list[str]:
        return [_duckdb(uri) for uri in self._session.table(table).inputFiles()]

    @cached_property
    def _session(self) -> Any:
        from pyspark.sql import SparkSession

        self._sweep()
        own = self._work / str(os.getpid())
        own.mkdir(parents=True, exist_ok=True)
        log = own / "log4j2.properties"
        log.write_text(_LOG.format(file=self._work / "spark.log"))
        given = dict(self._settings.spark)
        java = f"-Dlog4j2.configurationFile={log} -Dderby.system.home={own} {given.pop(_JAVA, '')}"
        told: dict[str, str] = {
            "spark.master": f"local[{self._settings.threads}]",
            "spark.driver.memory": _java_memory(self._settings.memory),
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            _JAVA: java.strip(),
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.sql.shuffle.partitions": str(self._settings.threads),
            "spark.databricks.delta.snapshotPartitions": str(self._settings.threads),  # of the list of a version's files
            **given,
            "spark.sql.warehouse.dir": self._warehouse(own),
            **_SAME_ON_EVERY_ENGINE,
        }
        if not {"spark.jars", "spark.jars.packages"} & told.keys():
            told["spark.jars"] = ",".join(map(str, fetched(JARS, self._work / "jars")))
        builder = SparkSession.builder.appName("pilothouse")
        for name, value in told.items():
            builder = builder.config(name, value)
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        try:
            return builder.getOrCreate()
        except Exception as error:  # py4j has a class of its own for each of Java's
            first = str(error).strip().splitlines()[0]
            raise ConfigError(
                f"Spark does not start: {first}", hint="it needs Java 17 or 21 (`java -version`); tables.spark has its settings"
            ) from error

    def _warehouse(self, own: Path) -> str:
        """Where tables of a wave are, which the executors write and this process reads."""
        given = self._settings.spark.get("spark.sql.warehouse.dir")
        if given is None and local_path(self._lake.url) is None:
            raise ConfigError(
                "tables.spark: spark.sql.warehouse.dir is not set, and the lake is in an object store",
                hint=f"set it to a folder in that store that lives for a build, such as {self._lake.url}/_spark",
            )
        return given or str(own / "warehouse")

    def _sweep(self) -> None:
        """Throw away what processes left that were killed."""
        for folder in self._work.glob("[0-9]*"):
            with suppress(ValueError):
                if not _lives(int(folder.name)):
                    shutil.rmtree(folder, ignore_errors=True)


_SAME_ON_EVERY_ENGINE: Final = {
    "spark.sql.catalogImplementation": "in-memory",  # of its own: a wave drops its databases, which must be nobody else's
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.ansi.enabled": "true",
}


def time_travel(lake: Lake, scan: Scan) -> str:
    """A table of the lake at its version, as Spark SQL has it."""
    assert scan.pinned is not None
    return f"delta.`{_hadoop(lake.table(scan.pinned.name).uri)}@v{scan.pinned.version}`"


def _hadoop(uri: str) -> str:
    """An address as Hadoop has it."""
    return uri.replace("s3://", "s3a://", 1) if uri.startswith("s3://") else uri


def _duckdb(uri: str) -> str:
    if uri.startswith("file:"):
        return str(local_path("file:///" + uri.removeprefix("file:").lstrip("/")))
    return f"lake://{uri.partition('://')[2]}"


def _java_memory(text: str) -> str:
    """4GB as Java has it, which knows no fractions: 4096m."""
    number, unit = float(text.rstrip("KMGTkmgtIiBb ")), text.lower().rstrip("ib")[-1]
    return f"{int(number * {'k': 1 / 1024, 'm': 1, 'g': 1024, 't': 1024**2}[unit])}m"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
