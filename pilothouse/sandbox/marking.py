"""The header that marks every response of the sandbox: connectors set `Batch.synthetic` from it.

It is a layer around the whole application, so that no error page, fault or future route can leave without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilothouse.sandbox.faults import App, Message, Receive, Scope, Send

HEADER: Final = (b"x-pilothouse-synthetic", b"true")


@dataclass(frozen=True)
class Marked:
    """An application whose responses all carry `X-Pilothouse-Synthetic: true`, once."""

    app: App

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def marking(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [header for header in message.get("headers", []) if header[0].lower() != HEADER[0]]
                message = {**message, "headers": [*headers, HEADER]}
            await send(message)

        await self.app(scope, receive, marking)
