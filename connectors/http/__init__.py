"""HTTP for connectors: requests and pages as values, and a client that fails in our own words."""

from connectors.http.auth import TokenAuth
from connectors.http.breaker import CircuitBreaker, breaker_of
from connectors.http.budget import RequestBudget
from connectors.http.client import HttpClient
from connectors.http.exchange import Page, Pager, Request, Response, walk
from connectors.http.prefetch import prefetch
from connectors.http.retry import Retry, retry_after
from connectors.http.translation import Blame, translate

__all__ = [
    "Blame",
    "CircuitBreaker",
    "HttpClient",
    "Page",
    "Pager",
    "Request",
    "RequestBudget",
    "Response",
    "Retry",
    "TokenAuth",
    "breaker_of",
    "prefetch",
    "retry_after",
    "translate",
    "walk",
]
