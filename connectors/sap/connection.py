"""One connection to one S/4HANA: who we are to it, and what we allow ourselves."""

from __future__ import annotations

from typing import Any

import httpx

from connectors.http.auth import TokenAuth
from connectors.http.budget import RequestBudget
from connectors.http.client import HttpClient
from connectors.http.translation import Blame
from connectors.sap.options import SapOptions


def opened(source: str, options: SapOptions) -> HttpClient:
    """A client that logs on as the options say."""
    blame = Blame(source=source, credentials=options.credentials)
    return HttpClient(
        source,
        options.url,
        auth=_auth(options, blame),
        verify=options.verify,
        headers={"Accept": "application/json", **({"sap-client": options.sap_client} if options.sap_client else {})},
        timeout=options.timeout,
        budget=RequestBudget(
            source,
            most=options.requests_per_minute,
            per_sync=options.requests_per_sync,
            setting=blame.setting("requests_per_minute" if options.requests_per_minute else "requests_per_sync"),
        ),
        largest_response=options.largest_response,
        blame=blame,
    )


def _auth(options: SapOptions, blame: Blame) -> httpx.Auth | tuple[str, str]:
    if options.user is not None and options.password is not None:
        return options.user, options.password.get_secret_value()
    assert options.client_id is not None
    assert options.client_secret is not None
    assert options.token_url is not None
    token_url = options.token_url if "://" in options.token_url else options.url.rstrip("/") + "/" + options.token_url.lstrip("/")
    form: dict[str, Any] = {"grant_type": "client_credentials"}
    return TokenAuth(token_url, lambda: form, blame, basic=(options.client_id, options.client_secret.get_secret_value()))
