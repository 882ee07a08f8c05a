"""The composition root: what Dagster loads. Declared values in, definitions out; nothing heavy is imported here.

    dagster dev -m orchestration.definitions

A definition never asks a source anything: the graph of assets is what pilothouse.toml and the declared streams say.
"""

from __future__ import annotations

import dagster as dg

from assets.agents import agent_asset, execution_asset
from assets.analytics import analytics_assets
from assets.data_docs import data_docs_asset
from assets.graph import graph_assets
from assets.ingest import ingest_asset
from assets.models import model_assets
from assets.outcomes import outcomes_asset
from assets.platform import Platform
from assets.resource import PlatformResource
from assets.tables import noted_specs, table_assets, view_specs
from assets.traces import traces_asset
from orchestration.agents import agent_job, agent_sensor, execution_job, execution_sensor
from orchestration.analytics import analytics_job, analytics_sensor
from orchestration.graph import graph_job, graph_sensor
from orchestration.models import model_jobs, model_sensors
from orchestration.outcomes import outcomes_job, outcomes_sensor
from orchestration.schedules import data_docs_schedule, sync_job, sync_schedule
from orchestration.sensors import announce_pending
from orchestration.tables import build_job, build_sensor
from orchestration.traces import traces_job, traces_sensor
from orchestration.upkeep import upkeep_asset, upkeep_job, upkeep_schedule
from pilothouse.kernel.settings import load


def build(platform: Platform) -> dg.Definitions:
    """The definitions of one platform."""
    sources = list(platform.sources.values())
    assets = [ingest_asset(source, stream) for source in sources for stream in source.streams.values()]
    jobs = [sync_job(source) for source in sources]
    tables = table_assets(platform.project)
    build = build_job(tables)
    graph = graph_assets(platform.ontology)
    load_graph = graph_job(graph)
    analytics = analytics_assets()
    measure_graph = analytics_job(analytics)
    models = list(platform.models.values())
    train, score = model_jobs(models)
    agents = list(platform.agents.values())
    decide = [agent_job(agent) for agent in agents]
    write = execution_job()
    speaking = [name for name, given in platform.settings.agents.brains.items() if given.brain == "language"]
    show = traces_job()
    settle = outcomes_job()
    return dg.Definitions(
        assets=[
            *assets,
            tables,
            *view_specs(platform.project),
            *noted_specs(),
            analytics,
            graph,
            *(asset for model in models for asset in model_assets(model)),
            *(agent_asset(agent) for agent in agents),
            execution_asset(),
            *([traces_asset(speaking)] if speaking else []),
            outcomes_asset,
            data_docs_asset([asset.key for asset in assets]),
            upkeep_asset,
        ],
        jobs=[*jobs, build, measure_graph, load_graph, train, score, *decide, write, settle, *([show] if speaking else []), upkeep_job],
        schedules=[*(sync_schedule(source, job) for source, job in zip(sources, jobs, strict=True)), data_docs_schedule, upkeep_schedule],
        sensors=[
            announce_pending,
            build_sensor(platform, build),
            analytics_sensor(platform, measure_graph),
            graph_sensor(platform, load_graph),
            *model_sensors(platform, train, score),
            *(agent_sensor(platform, agent, job) for agent, job in zip(agents, decide, strict=True)),
            execution_sensor(platform, write),
            *([traces_sensor(show)] if speaking else []),
            outcomes_sensor(platform, settle),
        ],
        resources={"platform": PlatformResource()},
        # One process a run: a process a step costs 36 s where the run takes one.
        executor=dg.in_process_executor,
    )


defs = build(Platform(load()))
