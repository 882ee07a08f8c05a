"""What Salesforce says no with, in our words.

Its REST API words a refusal as a JSON list of {errorCode, message}; its HTTP status alone says little (403 is both a
missing permission and a used-up quota), so the code decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from connectors.http.exchange import Request, Response
from connectors.http.translation import Blame, refused
from pilothouse.kernel.errors import CredentialsRejected, SourceContractChanged, SourceError, SourceUnavailable

# Statuses whose body names a code; anything else is judged by its status.
ANSWERS: Final = frozenset({400, 403, 404, 405, 409, 412, 414, 415, 431, 500})
AN_HOUR: Final = 3600.0

_TRANSIENT: Final = {
    "UNABLE_TO_LOCK_ROW",
    "SERVER_UNAVAILABLE",
    "QUERY_TIMEOUT",
    "REQUEST_RUNNING_TOO_LONG",
    "UNKNOWN_EXCEPTION",
    "INTERNAL_SERVER_ERROR",
    "INVALID_QUERY_LOCATOR",
    "OPERATION_IN_PROGRESS",
    "EXCEEDED_MAX_SIZE_REQUEST",
}
_CREDENTIALS: Final = {
    "INVALID_SESSION_ID",
    "INVALID_LOGIN",
    "INVALID_AUTH_HEADER",
    "INSUFFICIENT_ACCESS",
    "INSUFFICIENT_ACCESS_OR_READONLY",
    "FUNCTIONALITY_NOT_ENABLED",
    "API_DISABLED_FOR_ORG",
    "API_CURRENTLY_DISABLED",
    "PASSWORD_LOCKOUT",
    "INVALID_PASSWORD",
    "FORBIDDEN",
}


class Refusal(NamedTuple):
    """One refusal: what Salesforce calls it, and what it says about it."""

    code: str
    message: str


class Refused(SourceContractChanged):
    """A request that Salesforce will not answer whenever it is asked; `code` is its own word for why."""

    code: str = ""


class _Entry(msgspec.Struct):
    message: str = ""
    errorCode: str = ""  # noqa: N815 - Salesforce's name


def refusal_of(body: bytes) -> Refusal | None:
    """The first refusal of a REST error body; None where the body is something else."""
    try:
        entries = msgspec.json.decode(body, type=list[_Entry])
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return None
    found = next((entry for entry in entries if entry.errorCode), None)
    return None if found is None else Refusal(found.errorCode, " ".join(found.message.split()))


def judged(response: Response, request: Request, blame: Blame, what: str) -> SourceError:
    """The SourceError for a response that says no."""
    refusal = refusal_of(response.body)
    if refusal is None:
        return refused(response.status, response.headers, response.body, blame, request, response.url)
    return error_of(refusal, blame, what)


def error_of(refusal: Refusal, blame: Blame, what: str) -> SourceError:
    """The SourceError that a refusal stands for."""
    code, message = refusal
    where = f"{blame.source} / {what}: Salesforce answered {code}: {message}"
    if code == "REQUEST_LIMIT_EXCEEDED":
        return _limit(where, message, blame)
    if code in _TRANSIENT:
        return SourceUnavailable(where, hint="Salesforce is busy with something else; it passes")
    if code in _CREDENTIALS:
        return CredentialsRejected(
            where, hint=f"the user behind {blame.credential_settings()} must be active and allowed to do this by API"
        )
    error = Refused(where, hint=_hint(code, message))
    error.code = code
    return error


def job_failed(state: str, message: str, blame: Blame, what: str) -> SourceError:
    """The SourceError for a bulk job that did not complete. Its message often begins with the code of a refusal."""
    found = re.match(r"(?:\w+ : )?(?P<code>[A-Z][A-Z_]{4,})\b:?", message)
    if found is not None and found["code"] not in _TRANSIENT:
        return error_of(Refusal(found["code"], message), blame, what)
    if re.search(r"no such column|didn't understand relationship|is not supported", message, re.IGNORECASE):
        return error_of(Refusal("INVALID_FIELD", message), blame, what)
    return SourceUnavailable(
        f"{blame.source} / {what}: the bulk job ended as {state}: {message or 'no reason given'}",
        hint="Salesforce's page Setup > Bulk Data Load Jobs says more; the next sync starts it anew",
    )


def _limit(where: str, message: str, blame: Blame) -> SourceUnavailable:
    # "TotalRequests Limit exceeded." is the day's quota; the others are about calls that run at the same time.
    if "concurrent" in message.lower():
        return SourceUnavailable(where, hint="too many long requests run in this org right now")
    return SourceUnavailable(
        where,
        hint=f"the org's API requests of the last 24 hours are used up; raise {blame.setting('api_share')} to stop earlier than others",
        retry_after=AN_HOUR,
    )


def _hint(code: str, message: str) -> str:
    column = re.search(r"[Nn]o such column '([^']+)'", message)
    if column:
        return f"the field {column[1]} was removed or renamed, or our user may no longer see it (field-level security)"
    if code in {"INVALID_TYPE", "NOT_FOUND"}:
        return "the object was removed or renamed, or our user may no longer see it"
    return "the org no longer takes this request; its own words say why"


def names(codes: Sequence[str], error: SourceError) -> bool:
    """Whether an error is Salesforce's refusal under one of these codes."""
    return isinstance(error, Refused) and error.code in codes
