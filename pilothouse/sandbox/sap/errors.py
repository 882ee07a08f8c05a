"""What SAP says when it says no: its message codes, and its error bodies in the shape of each OData version."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from pilothouse.sandbox.sap.services import Service


class ODataError(Exception):
    """A request that the gateway refuses; it becomes an error response."""

    def __init__(self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def bad_request(message: str) -> ODataError:
    """400: the request makes no sense."""
    return ODataError(400, "/IWBEP/CM_MGW_RT/022", message)


def bad_value(message: str) -> ODataError:
    """400: a value in the body or the URL does not fit its property."""
    return ODataError(400, "/IWBEP/CX_MGW_BUSI_EXCEPTION", message)


def unknown_property(name: str, type_name: str) -> ODataError:
    """400: no such property, in a query option or a body."""
    return ODataError(400, "/IWCOR/CX_OD_EXPRESSION_ERROR/PROPERTY", f"Property {name} not found in type {type_name}")


def unknown_segment(name: str) -> ODataError:
    """404: no such entity set, navigation or property in the path."""
    return ODataError(404, "/IWBEP/CM_MGW_RT/020", f"Resource not found for segment '{name}'")


def not_found(name: str) -> ODataError:
    """404: no row has this key."""
    return ODataError(404, "/IWBEP/CM_MGW_RT/021", f"Resource not found for key of '{name}'")


def not_allowed(method: str, name: str) -> ODataError:
    """405: the set cannot do this."""
    return ODataError(405, "/IWBEP/CM_MGW_RT/004", f"Method {method} is not supported by '{name}'")


def precondition_required() -> ODataError:
    """428: a write without If-Match."""
    return ODataError(428, "/IWBEP/CM_MGW_RT/155", "The request is required to be conditional. Try using the If-Match header")


def precondition_failed() -> ODataError:
    """412: the row changed since the client read it."""
    return ODataError(412, "/IWBEP/CM_MGW_RT/005", "Precondition failed: the ETag does not match the resource's current state")


def locked(name: str) -> ODataError:
    """423: somebody has the document open for editing."""
    return ODataError(423, "/IWBEP/CM_MGW_RT/026", f"{name} is currently being processed by user MILLERA")


def not_authorized(name: str) -> ODataError:
    """403: the user may look at the document, and not change it."""
    return ODataError(403, "/IWBEP/CM_MGW_RT/020", f"No authorization to change {name}")


def delta_gone() -> ODataError:
    """410: the delta token is too old, or was never ours."""
    return ODataError(410, "/IWBEP/CM_MGW_RT/215", "The delta token is no longer valid; read the entity set again")


def body(error: ODataError, service: Service | None) -> bytes:
    """The error as JSON, in the shape of the service's version."""
    now = datetime.now(UTC)
    application = {
        "component_id": "",
        "service_namespace": "/SAP/",
        "service_id": service.technical_name if service else "",
        "service_version": "0001",
    }
    inner: dict[str, Any] = {"transactionid": uuid.uuid4().hex.upper(), "timestamp": now.strftime("%Y%m%d%H%M%S.%f0")}
    if service is not None and service.version == 4:
        content: dict[str, Any] = {
            "code": error.code,
            "message": error.message,
            "innererror": {"ErrorDetails": {"@SAP__application": application}, **inner},
        }
        content["details"] = []
    else:
        resolution = {"SAP_Transaction": "Run transaction /IWFND/ERROR_LOG on SAP Gateway hub system for details", "SAP_Note": ""}
        details = [
            {"code": error.code, "message": error.message, "propertyref": "", "severity": "error", "transition": False, "target": ""}
        ]
        inner = {"application": application, **inner, "Error_Resolution": resolution, "errordetails": details}
        content = {"code": error.code, "message": {"lang": "en", "value": error.message}, "innererror": inner}
    return msgspec.json.encode({"error": content})
