"""Every way in which a graph server or its driver fails, as one error of ours with the way out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pilothouse.kernel.errors import ConfigError, GraphError, GraphUnavailable, PilothouseError

_CREDENTIALS = "PILOTHOUSE_GRAPH__USER and PILOTHOUSE_GRAPH__PASSWORD"
_EXCERPT = 500
_REASON = re.compile(r"\(reason (?:\[Errno -?\d+\] )?(.+?)\)")  # at the end of a long tale about every address that was tried

# The beginning of a server's own code, what it means, and the way out; the first that fits wins.
_MEANINGS: Sequence[tuple[str, str, str]] = (
    ("Neo.ClientError.Security.AuthenticationRateLimit", "too many wrong passwords", f"wait a few seconds, then correct {_CREDENTIALS}"),
    ("Neo.ClientError.Security.Unauthorized", "does not know this user and password", f"set {_CREDENTIALS}"),
    ("Neo.ClientError.Security", "this user may not do that", "ask as a user who may, or ask the server's owner for the right"),
    ("Neo.ClientError.Database.DatabaseNotFound", "no such database", "set PILOTHOUSE_GRAPH__DATABASE to one that the server has"),
    ("Neo.ClientError.Statement.SyntaxError", "not Cypher", "correct the query at that place"),
    ("Neo.ClientError.Statement.ParameterMissing", "a parameter is missing", "give every $parameter that the query names"),
    ("Neo.ClientError.Statement.AccessMode", "a reading query wants to write", "what changes the graph goes through `write`"),
    ("Neo.ClientError.Schema.Constraint", "breaks a constraint", "MERGE on the key instead of CREATE, or look which node has it already"),
    ("Neo.ClientError.Statement", "cannot be answered", "correct the query or its parameters"),
    ("Neo.ClientError.Procedure", "no such procedure or function", "use what both engines have (docs/decisions/0012)"),
    ("Neo.ClientError.Schema", "the schema refuses", "look with SHOW CONSTRAINTS and SHOW INDEXES what is there"),
    ("Neo.TransientError", "another writer was in the way, or the server is short of something", "try again"),
)


def translate(error: Exception, where: str) -> PilothouseError:
    """One error of ours for what the driver raised. `where` is the server's address, without a secret."""
    from neo4j import exceptions

    said = _said(error)
    if isinstance(error, exceptions.Neo4jError):
        code = error.code or ""
        for beginning, meaning, hint in _MEANINGS:
            if code.startswith(beginning):
                kind = GraphUnavailable if code.startswith("Neo.TransientError") else GraphError
                return kind(f"{where}: {meaning}: {said}", hint=hint)
        return GraphError(f"{where}: the server failed: {said} ({code})", hint="its log tells more; `pilothouse doctor` says where it runs")
    if isinstance(error, exceptions.ConfigurationError | exceptions.UnsupportedServerProduct):
        return ConfigError(f"graph.url = {where}: {said}", hint="give bolt://host:port, or neo4j+s://host for a cluster with TLS")
    if isinstance(error, exceptions.ServiceUnavailable | exceptions.SessionExpired | exceptions.DriverError | OSError):
        return GraphUnavailable(
            f"{where}: the graph does not answer ({said})", hint="`pilothouse up` starts it; `pilothouse doctor` says more"
        )
    if isinstance(error, TypeError | ValueError | OverflowError):
        return GraphError(f"{where}: a parameter cannot be sent: {said}", hint="give texts, numbers, dates, moments, and lists of them")
    raise TypeError(f"{type(error).__name__} is no failure of a graph") from error


def is_passing(error: Exception, query: str) -> bool:
    """Whether the same transaction may succeed at once, or in a moment.

    A MERGE that meets another writer's MERGE of the same new key is told of a broken constraint, by both engines; asked again,
    it finds the node. (A commit whose outcome nobody knows is not repeated: the driver says that it is not retryable.)
    """
    from neo4j import exceptions

    if isinstance(error, exceptions.ConstraintError):
        return "merge" in query.lower()
    return isinstance(error, exceptions.Neo4jError | exceptions.DriverError) and error.is_retryable()


def _said(error: Exception) -> str:
    refused = _REASON.search(str(error))
    if refused:
        return refused[1]
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:_EXCERPT]
