"""The sandbox's switchboard, and the beat of the company's clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from pilothouse.sandbox.admin import admin_app
from pilothouse.sandbox.company.sap import SALES_ORDER
from pilothouse.sandbox.credentials import AdminCredentials
from pilothouse.sandbox.faults import Faults
from pilothouse.sandbox.pulse import Pulse
from tests.unit.sandbox.sap_scene import filled, populated, serving


@contextmanager
def board(home: Path) -> Iterator[tuple[httpx.Client, Faults, Pulse]]:
    store, faults = populated(home / "company.sqlite"), Faults()

    def beat(now: datetime) -> Sequence[str]:
        number = store.last_change()
        store.insert(SALES_ORDER, filled(SALES_ORDER, SalesOrder=f"N{number}"), now)
        return [f"order N{number}"]

    pulse = Pulse(beat, pace=0)
    app = admin_app(store, faults, pulse, AdminCredentials("open sesame"))
    with serving(app) as url, httpx.Client(base_url=url, headers={"authorization": "Bearer open sesame"}) as client:
        yield client, faults, pulse
    store.close()


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Faults, Pulse]]:
    with board(tmp_path_factory.mktemp("admin")) as running:
        yield running


def test_only_the_token_opens_the_board(admin: tuple[httpx.Client, Faults, Pulse]) -> None:
    client, _, _ = admin
    for wrong in ("", "Bearer", "Bearer nonsense", "open sesame"):
        response = client.post("/faults", json={"kind": "cut"}, headers={"authorization": wrong})
        assert response.status_code == 401
        assert response.headers["x-pilothouse-synthetic"] == "true"
    assert client.get("/faults").json() == []


def test_faults_are_switched_on_listed_and_off(admin: tuple[httpx.Client, Faults, Pulse]) -> None:
    client, faults, _ = admin
    made = client.post("/faults", json={"kind": "throttled", "server": "sap", "count": 3, "seconds": 2})
    assert made.status_code == 201
    number = made.json()["number"]
    faults.strike("sap", "/x", "throttled")
    (shown,) = client.get("/faults").json()
    assert (shown["kind"], shown["struck"], shown["exhausted"]) == ("throttled", 1, False)
    assert client.delete(f"/faults/{number}").status_code == 204
    assert client.delete(f"/faults/{number}").status_code == 404
    client.post("/faults", json={"kind": "html"})
    assert client.delete("/faults").status_code == 204
    assert client.get("/faults").json() == []
    assert client.post("/faults", json={"kind": "earthquake"}).status_code == 422


def test_the_clock_steps_pauses_and_tells(admin: tuple[httpx.Client, Faults, Pulse]) -> None:
    client, _, pulse = admin
    before = client.get("/status").json()
    assert before["rows"]["sap_SalesOrder"] == 25
    stepped = client.post("/clock/step", json={"beats": 3}).json()
    assert len(stepped["happened"]) == 3
    after = client.get("/status").json()
    assert after["rows"]["sap_SalesOrder"] == 28
    assert after["last_change"]["number"] == before["last_change"]["number"] + 3
    assert after["last_change"]["entity"] == "sap_SalesOrder"
    assert client.post("/clock/pause").status_code == 204
    assert pulse.paused
    assert client.post("/clock/resume").status_code == 204
    assert not pulse.paused
    assert client.post("/clock/step", json={"beats": 0}).status_code == 422


def test_a_pulse_beats_at_its_pace_until_it_is_stopped() -> None:
    beaten = threading.Semaphore(0)

    def beat(_: datetime) -> Sequence[str]:
        beaten.release()
        return []

    pulse = Pulse(beat, pace=0.01)
    pulse.start()
    assert beaten.acquire(timeout=10)
    assert beaten.acquire(timeout=10)
    pulse.stop()
    settled = pulse.beats
    assert not any(thread.name == "company-clock" for thread in threading.enumerate())
    assert pulse.beats == settled >= 2


def test_a_paused_pulse_waits_and_can_still_be_stepped() -> None:
    pulse = Pulse(lambda now: ["x"], pace=0.01, paused=True)
    pulse.start()
    time.sleep(0.1)  # ten beats long nothing may happen: there is no event to wait for
    assert pulse.beats == 0
    assert pulse.step(2) == ["x", "x"]
    pulse.stop()


def test_a_missed_beat_is_told_and_life_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    alive = threading.Event()
    beats: list[datetime] = []

    def beat(now: datetime) -> Sequence[str]:
        beats.append(now)
        if len(beats) == 1:
            raise RuntimeError("the disk is full")
        alive.set()
        return []

    pulse = Pulse(beat, pace=0.01)
    pulse.start()
    assert alive.wait(10)
    pulse.stop()
    assert "the disk is full" in caplog.text
    assert beats[0].tzinfo is UTC
