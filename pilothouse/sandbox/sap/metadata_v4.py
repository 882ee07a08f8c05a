"""$metadata and service document of OData V4, annotated with SAP's and OASIS's vocabularies under the aliases S/4HANA uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from pilothouse.sandbox.company.schema import Field
from pilothouse.sandbox.faults import Faults
from pilothouse.sandbox.sap.markup import Attributes, element
from pilothouse.sandbox.sap.services import EntitySet, Navigation, Service
from pilothouse.sandbox.sap.views import View

_TYPES: Final = {
    "string": "Edm.String",
    "bool": "Edm.Boolean",
    "int": "Edm.Int32",
    "decimal": "Edm.Decimal",
    "double": "Edm.Double",
    "date": "Edm.Date",
    "datetime": "Edm.DateTimeOffset",
}
_VOCABULARIES: Final = {
    "com.sap.vocabularies.Common.v1": "SAP__common",
    "Org.OData.Measures.V1": "SAP__measures",
    "Org.OData.Capabilities.V1": "SAP__capabilities",
    "Org.OData.Core.V1": "SAP__core",
}


def document(service: Service, root: str) -> bytes:
    """The service document."""
    value = [{"name": entity_set.name, "url": entity_set.name} for entity_set in service.sets]
    return msgspec.json.encode({"@odata.context": f"{root}/$metadata", "value": value})


def metadata(service: Service, faults: Faults) -> str:
    """The service's $metadata."""
    views = [View(service, entity_set, faults, "") for entity_set in service.sets]
    schema = element(
        "Schema",
        {"Namespace": service.namespace, "Alias": "SAP__self", "xmlns": "http://docs.oasis-open.org/odata/ns/edm"},
        *(_entity_type(view) for view in views),
        element("EntityContainer", {"Name": "Container"}, *(_entity_set(entity_set) for entity_set in service.sets)),
        *(annotations for view in views for annotations in _annotations(view)),
    )
    references = (
        element(
            "edmx:Reference",
            {"Uri": f"/sap/opu/odata/IWFND/CATALOGSERVICE;v=2/Vocabularies(TechnicalName='{namespace}')/$value"},
            element("edmx:Include", {"Namespace": namespace, "Alias": alias}),
        )
        for namespace, alias in _VOCABULARIES.items()
    )
    edmx = {"Version": "4.0", "xmlns:edmx": "http://docs.oasis-open.org/odata/ns/edmx"}
    services = element("edmx:DataServices", {}, schema)
    return f'<?xml version="1.0" encoding="utf-8"?>{element("edmx:Edmx", edmx, *references, services)}'


def _entity_type(view: View) -> str:
    keys = [name for name, column in view.columns.items() if column.source in view.entity.key]
    fields = [column.field for column in view.columns.values()]
    return element(
        "EntityType",
        {"Name": view.entity_set.type_name},
        element("Key", {}, *(element("PropertyRef", {"Name": name}) for name in keys)),
        *(element("Property", _property(field, is_key=field.name in keys)) for field in fields),
        *(_navigation_property(view.service, navigation) for navigation in view.entity_set.navigations),
    )


def _property(field: Field, *, is_key: bool) -> Attributes:
    return {
        "Name": field.name,
        "Type": _TYPES[field.kind],
        "Nullable": False if is_key or not field.nullable else None,
        "MaxLength": field.length if field.kind == "string" else None,
        "Precision": {"decimal": field.precision, "datetime": 7}.get(field.kind),
        "Scale": field.scale if field.kind == "decimal" else None,
    }


def _navigation_property(service: Service, navigation: Navigation) -> str:
    target = service.entity_set(navigation.target)
    assert target is not None
    type_name = f"{service.namespace}.{target.type_name}"
    attributes = {"Name": navigation.name, "Type": f"Collection({type_name})" if navigation.many else type_name}
    if navigation.many:
        return element("NavigationProperty", attributes)
    constraints = (element("ReferentialConstraint", {"Property": here, "ReferencedProperty": there}) for here, there in navigation.pairs)
    return element("NavigationProperty", attributes, *constraints)


def _entity_set(entity_set: EntitySet) -> str:
    bindings = (
        element("NavigationPropertyBinding", {"Path": navigation.name, "Target": navigation.target})
        for navigation in entity_set.navigations
    )
    return element("EntitySet", {"Name": entity_set.name, "EntityType": f"SAP__self.{entity_set.type_name}"}, *bindings)


def _annotations(view: View) -> Iterator[str]:
    entity_set = view.entity_set
    yield _annotated(f"SAP__self.{entity_set.type_name}", _annotation("SAP__common.Label", "String", view.entity.label))
    for column in view.columns.values():
        field = column.field
        said = [
            _annotation("SAP__common.Label", "String", field.label),
            _annotation("SAP__common.Text", "Path", field.text),
            _annotation("SAP__measures.Unit", "Path", field.unit),
            _annotation("SAP__measures.ISOCurrency", "Path", field.currency),
        ]
        yield _annotated(f"SAP__self.{entity_set.type_name}/{field.name}", *said)
    yield _annotated(
        f"SAP__self.Container/{entity_set.name}",
        _restriction("ChangeTracking", "Supported", allowed=entity_set.delta),
        _restriction("InsertRestrictions", "Insertable", allowed=entity_set.writable),
        _restriction("UpdateRestrictions", "Updatable", allowed=entity_set.writable),
        _restriction("DeleteRestrictions", "Deletable", allowed=entity_set.writable),
    )


def _annotated(target: str, *annotations: str) -> str:
    return element("Annotations", {"Target": target}, *annotations) if any(annotations) else ""


def _annotation(term: str, kind: str, value: str) -> str:
    return element("Annotation", {"Term": term, kind: value}) if value else ""


def _restriction(term: str, name: str, *, allowed: bool) -> str:
    record = element("Record", {}, element("PropertyValue", {"Property": name, "Bool": allowed}))
    return element("Annotation", {"Term": f"SAP__capabilities.{term}"}, record)
