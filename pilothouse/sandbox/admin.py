"""The sandbox's own switchboard: faults on and off, the company's clock by hand, and how things stand.

No real system has it; tests, benchmarks and the curious do. It asks for the token of `credentials.json`, because a
server on loopback is also within reach of every web page in the same browser.
"""

from __future__ import annotations

import secrets
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field

from pilothouse.sandbox.company.store import Store
from pilothouse.sandbox.credentials import AdminCredentials
from pilothouse.sandbox.faults import Fault, Faults, Switched
from pilothouse.sandbox.pulse import Pulse


class Step(BaseModel):
    """How far the clock goes on."""

    model_config = ConfigDict(extra="forbid")

    beats: int = Field(default=1, ge=1, le=10_000)


def admin_app(store: Store, faults: Faults, pulse: Pulse, credentials: AdminCredentials) -> FastAPI:
    """The application: `/status`, `/faults`, `/clock`."""

    def known(request: Request) -> None:
        given = request.headers.get("authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {credentials.token}".encode()):
            raise HTTPException(401, "send the admin token of credentials.json as a bearer token", {"www-authenticate": "Bearer"})

    app = FastAPI(title="Pilothouse sandbox", dependencies=[Depends(known)], docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/status")
    def status() -> dict[str, Any]:
        return _status(store, faults, pulse)

    @app.get("/faults")
    def faults_on() -> list[dict[str, Any]]:
        return [_shown(switched) for switched in faults.list()]

    @app.post("/faults", status_code=201)
    def switch_on(fault: Fault) -> dict[str, Any]:
        return _shown(faults.switch_on(fault))

    @app.delete("/faults", status_code=204)
    def switch_all_off() -> None:
        faults.switch_off()

    @app.delete("/faults/{number}", status_code=204)
    def switch_off(number: int) -> None:
        try:
            faults.switch_off(number)
        except KeyError:
            raise HTTPException(404, f"there is no fault {number}") from None

    @app.post("/clock/step")
    def step(step: Step) -> dict[str, Any]:
        return {"happened": pulse.step(step.beats), "last_change": store.last_change()}

    @app.post("/clock/pause", status_code=204)
    def pause() -> None:
        pulse.paused = True

    @app.post("/clock/resume", status_code=204)
    def resume() -> None:
        pulse.paused = False

    return app


def _shown(switched: Switched) -> dict[str, Any]:
    return {"number": switched.number, "struck": switched.struck, "exhausted": switched.exhausted, **switched.fault.model_dump()}


def _status(store: Store, faults: Faults, pulse: Pulse) -> dict[str, Any]:
    rows = {table: next(store.rows(f"SELECT COUNT(*) FROM {table}"))[0] for table in store.entities}
    last = next(store.rows("SELECT entity, operation, at FROM changes ORDER BY seq DESC LIMIT 1"), None)
    return {
        "rows": rows,
        "last_change": {"number": store.last_change(), **dict(zip(("entity", "operation", "at"), last or (None,) * 3, strict=True))},
        "clock": {"pace": pulse.pace, "paused": pulse.paused, "beats": pulse.beats, "error": pulse.error},
        "faults": [_shown(switched) for switched in faults.list() if not switched.exhausted],
    }
