"""Tools and the layers around them: what an agent may not do it cannot do, and every step can be played back."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from pilothouse.agents.budget import Account, Budget, Cost
from pilothouse.agents.cassette import Player, Recorded, Recorder
from pilothouse.agents.tools import Budgeted, Calls, Permitted, Repeats, Tool, Toolbox
from pilothouse.kernel.errors import AgentError, BudgetExceeded, ConfigError, GraphError, ToolDenied, ToolFailed


class OfFirm(BaseModel):
    firm: str
    depth: int = 1


SNAPSHOT = {"acme": 7}
ACTED: list[str] = []


def exposure(snapshot: Mapping[str, int], asked: OfFirm) -> dict[str, int]:
    return {"exposure": snapshot[asked.firm] * asked.depth}


def broken(_: Any, __: OfFirm) -> object:
    return object()


def without_graph(_: Any, __: OfFirm) -> None:
    raise GraphError("the graph does not answer", hint="`pilothouse doctor`")


def hanging(_: Any, __: OfFirm) -> None:
    time.sleep(5)


def acting(_: Any, asked: OfFirm) -> None:
    ACTED.append(asked.firm)


def tool(name: str, run: Any, **more: Any) -> Tool:
    return Tool(**{"name": name, "description": name, "arguments": OfFirm, "run": run, "permission": "graph", **more})


TOOLS = (
    tool("exposure", exposure),
    tool("broken", broken),
    tool("without_graph", without_graph),
    tool("hanging", hanging, worst=Cost(calls=1, seconds=0.05)),
    tool("secret", exposure, permission="payroll"),
    tool("block", acting, effect="act"),
)


def layered(cassette: Recorder | Player, budget: Budget | None = None) -> Calls:
    permitted = Permitted(Toolbox(TOOLS, SNAPSHOT), frozenset({"graph"}))
    return Repeats(Recorded(Budgeted(permitted, Account(budget or Budget())), cassette))


def test_a_tool_answers_from_the_snapshot() -> None:
    assert layered(Recorder()).call("exposure", {"firm": "acme", "depth": 3}) == {"exposure": 21}


@pytest.mark.parametrize(
    ("name", "arguments", "error", "told"),
    [
        ("nothing", {}, ToolDenied, "no tool 'nothing'"),
        ("secret", {"firm": "acme"}, ToolDenied, "needs the permission 'payroll'"),
        ("block", {"firm": "acme"}, ToolDenied, "acts on a source system"),
        ("exposure", {}, ToolFailed, "firm: Field required"),
        ("exposure", {"firm": "acme", "depth": "deep"}, ToolFailed, "depth: Input should be a valid integer"),
        ("exposure", {"firm": "nobody"}, ToolFailed, "KeyError"),
        ("broken", {"firm": "acme"}, ToolFailed, "not JSON serializable"),
        ("without_graph", {"firm": "acme"}, ToolFailed, "the graph does not answer"),
        ("hanging", {"firm": "acme"}, ToolFailed, "no answer within 0.05 s"),
    ],
)
def test_what_goes_wrong_is_one_clear_error(name: str, arguments: Mapping[str, Any], error: type[AgentError], told: str) -> None:
    with pytest.raises(error, match=told) as raised:
        layered(Recorder()).call(name, arguments)
    assert raised.value.hint


def test_ten_thousand_fuzzed_calls_act_on_nothing() -> None:
    dice, ACTED[:] = random.Random(11), []
    names = [each.name for each in TOOLS if each.name != "hanging"] + ["block ", "Block", "../block", "block\x00", "", "sap.patch"]
    values = ["acme", "", None, 0, {"$ref": "block"}, ["block"], "'; DROP TABLE orders; --", "\N{HANGUL FILLER}"]
    permitted = Permitted(Toolbox(TOOLS, SNAPSHOT), frozenset({"graph", "act", "*"}))
    for _ in range(10_000):
        arguments = {dice.choice(["firm", "depth", "effect", "permission"]): dice.choice(values) for _ in range(dice.randrange(4))}
        try:
            answer = permitted.call(dice.choice(names), arguments)
        except (ToolDenied, ToolFailed):
            continue
        assert set(answer) == {"exposure"}
    assert ACTED == []


def test_a_run_in_a_circle_is_stopped_at_the_third_time() -> None:
    calls = layered(Recorder())
    for _ in range(2):
        calls.call("exposure", {"firm": "acme", "depth": 1})
    with pytest.raises(AgentError, match="asked for the same thing 3 times"):
        calls.call("exposure", {"depth": 1, "firm": "acme"})


def test_being_denied_is_not_free() -> None:
    calls = layered(Recorder(), Budget(calls=3))
    for name in ("one", "two", "three"):
        with pytest.raises(ToolDenied):
            calls.call(name, {})
    with pytest.raises(BudgetExceeded):
        calls.call("exposure", {"firm": "acme"})


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two tools are called exposure"):
        Toolbox((TOOLS[0], TOOLS[0]), SNAPSHOT)


def told(calls: Calls, name: str, arguments: Mapping[str, Any]) -> Any:
    try:
        return calls.call(name, arguments)
    except AgentError as error:
        return type(error), error.message, error.hint


asked = st.tuples(st.sampled_from(["exposure", "broken", "secret", "nothing"]), st.fixed_dictionaries({"firm": st.sampled_from("ab")}))


@given(st.lists(asked, max_size=12))
@settings(max_examples=100)
def test_a_replay_hears_what_the_run_heard(steps: list[tuple[str, dict[str, str]]]) -> None:
    recorder = Recorder()
    then = [told(layered(recorder), name, arguments) for name, arguments in steps]
    content = recorder.content()
    player = Player.of(content)
    nobody = Repeats(Recorded(Toolbox((), None), player))  # there is nothing behind a replay that could be asked
    again = [told(Recorded(Toolbox((), None), player), name, arguments) for name, arguments in steps]
    assert again == then
    player.finish()
    with pytest.raises(AgentError, match="nothing more was asked"):
        nobody.call("exposure", {"firm": "a"})


def test_a_replay_that_leaves_the_track_says_where() -> None:
    recorder = Recorder()
    layered(recorder).call("exposure", {"firm": "acme"})
    with pytest.raises(AgentError, match="call 1: it asks for tool exposure"):
        Recorded(Toolbox((), None), Player.of(recorder.content())).call("exposure", {"firm": "umbrella"})
    with pytest.raises(AgentError, match="it ends here, and then it asked for exposure"):
        Player.of(recorder.content()).finish()
    with pytest.raises(AgentError, match="cannot be read"):
        Player.of(b"{")
