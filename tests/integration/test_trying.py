"""Feedback, eval and the gateway as commands: what a person says becomes a case, and a version that fails it does not decide."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from assets.platform import Platform
from orchestration.definitions import build
from pilothouse.agents.brains.language import LanguageModel
from pilothouse.agents.desks.credit_desk import CREDIT_DESK
from pilothouse.agents.policy import Policy
from pilothouse.agents.trials.case import decided_on
from pilothouse.agents.trials.shipped import shipped_cases
from pilothouse.cli.app import app
from pilothouse.kernel.database import Database
from pilothouse.kernel.settings import Settings, load
from tests.aimock import Aimock, calls

assert CREDIT_DESK.trials is not None
CASES = {case.name: case for case in shipped_cases(CREDIT_DESK.trials.cases)}
LANGUAGE = """
[providers.local]
kind = "compatible"
url = "{url}/v1"

[language_models.small]
provider = "local"
name = "small"

[agents.credit_desk]
brain = "language"
models = ["small"]
judge = "small"
"""

Command = Callable[..., tuple[int, Any]]


@pytest.fixture
def platform(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.setenv("PILOTHOUSE_CONFIG", str(tmp_path / "pilothouse.toml"))
    monkeypatch.setenv("PILOTHOUSE_DATABASE__URL", database.url)
    (tmp_path / "pilothouse.toml").write_text('[principals.ada]\nrole = "admin"\n')
    platform = Platform(load())
    monkeypatch.setenv("PILOTHOUSE_TOKEN", platform.principals.issue("ada", "ada"))
    yield platform
    platform.close()


def said(*arguments: str) -> tuple[int, Any]:
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    return result.exit_code, json.loads(result.output)


def test_a_word_on_a_decision_keeps_a_version_that_fails_it_from_deciding(platform: Platform, tmp_path: Path) -> None:
    held = CASES["three invoices long overdue"]
    (decision,) = platform.ledger.append([decided_on(CREDIT_DESK, held).draft()])
    assert said("eval", "credit_desk")[0] == 0
    assert said("feedback", decision.digest[:12], "good", "--why", "they went bankrupt")[1]["by"] == "ada"
    code, told = said("eval", "credit_desk")
    assert (code, len(told["cases"]), told["objections"]) == (0, len(CASES) + 1, [])

    assert isinstance(CREDIT_DESK.brain, Policy)
    lax = tmp_path / "lax.yaml"
    lax.write_text(CREDIT_DESK.brain.tree.document.canonical().replace('"action":"hold"', '"action":"release"'))
    code, told = said("eval", "credit_desk", "--tree", str(lax))
    assert code == 1
    assert "they went bankrupt" in next(each["because"] for each in told["cases"] if each["source"] == decision.digest)
    assert any("three invoices long overdue" in each for each in told["objections"])
    shown = CliRunner().invoke(app, ["eval", "credit_desk", "--tree", str(lax)])
    assert "worse" in shown.output
    assert "promoted" not in shown.output  # a file is only compared
    assert platform.standings.last_good("credit_desk") is not None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["feedback", "abc", "good", "--why", "x"], "no capsule abc"),
        (["eval", "nobody"], "no agent 'nobody'"),
        (["eval", "credit_desk", "--tree", "nowhere.yaml"], "there is no such file"),
    ],
)
def test_what_is_not_there_is_told(platform: Platform, arguments: list[str], told: str) -> None:
    code, answer = said(*arguments)
    assert code == 1
    assert told in answer["message"]
    assert answer["hint"]


def test_a_worse_model_does_not_decide_and_the_tree_goes_on(platform: Platform, tmp_path: Path) -> None:
    assert said("gateway") == (0, [])
    assert said("eval", "credit_desk")[0] == 0
    with Aimock() as server:
        judged = {"reasons": ["I like to hold"], "confidence": 1, "score": 2, "said": "its reasons are none"}
        server.says(calls("decide", action="hold", **judged))
        with (tmp_path / "pilothouse.toml").open("a") as file:
            file.write(LANGUAGE.format(url=server.url))
        (row,) = said("gateway")[1]
        assert (row["model"], row["decides for"]) == ("small", "credit_desk")
        code, told = said("eval", "credit_desk")
        assert code == 1
        assert (told["judged"], told["against"]["score"]) == (2.0, 1.0)
        assert any("a good customer of long standing" in each for each in told["objections"])
        with_model = Platform(load())
        assert isinstance(with_model.agent("credit_desk").brain, LanguageModel)
        assert isinstance(with_model.in_force("credit_desk").brain, Policy)
        with_model.close()
        server.kill()
        assert "APIConnectionError" in said("gateway")[1][0]["now"]


def test_traces_are_an_asset_where_a_model_is_set() -> None:
    plain = build(Platform(Settings()))
    model = {"provider": "local", "name": "small"}
    settings = Settings(
        providers={"local": {"kind": "compatible", "url": "http://127.0.0.1:9/v1"}},
        language_models={"small": model},
        agents={"credit_desk": {"brain": "language", "models": ["small"]}},
    )
    speaking = build(Platform(settings))
    traces = dg.AssetKey(["agents", "traces"])
    assert traces not in plain.resolve_asset_graph().get_all_asset_keys()
    assert traces in speaking.resolve_asset_graph().get_all_asset_keys()
    assert {sensor.name for sensor in speaking.sensors or ()} - {sensor.name for sensor in plain.sensors or ()} == {"traces_missing"}
