"""$metadata and service document of OData V2, with the `sap:` annotations in which SAP says what its fields mean."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pilothouse.sandbox.company.schema import Field
from pilothouse.sandbox.faults import Faults
from pilothouse.sandbox.sap.markup import Attributes, element
from pilothouse.sandbox.sap.services import EntitySet, Navigation, Service
from pilothouse.sandbox.sap.views import View

_TYPES = {
    "string": "Edm.String",
    "bool": "Edm.Boolean",
    "int": "Edm.Int32",
    "decimal": "Edm.Decimal",
    "double": "Edm.Double",
    "date": "Edm.DateTime",
    "datetime": "Edm.DateTimeOffset",
}


def document(service: Service, _: str) -> bytes:
    """The service document."""
    return msgspec.json.encode({"d": {"EntitySets": [entity_set.name for entity_set in service.sets]}})


def metadata(service: Service, faults: Faults) -> str:
    """The service's $metadata."""
    links = [(entity_set, navigation) for entity_set in service.sets for navigation in entity_set.navigations]
    schema = element(
        "Schema",
        {
            "Namespace": service.namespace,
            "xml:lang": "en",
            "sap:schema-version": 1,
            "xmlns": "http://schemas.microsoft.com/ado/2008/09/edm",
        },
        *(_entity_type(View(service, entity_set, faults, "")) for entity_set in service.sets),
        *(_association(service, entity_set, navigation) for entity_set, navigation in links),
        _container(service, links),
    )
    namespaces = {
        "Version": "1.0",
        "xmlns:edmx": "http://schemas.microsoft.com/ado/2007/06/edmx",
        "xmlns:m": "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata",
        "xmlns:sap": "http://www.sap.com/Protocols/SAPData",
    }
    services = element("edmx:DataServices", {"m:DataServiceVersion": "2.0"}, schema)
    return f'<?xml version="1.0" encoding="utf-8"?>{element("edmx:Edmx", namespaces, services)}'


def _entity_type(view: View) -> str:
    entity_set, fields = view.entity_set, [column.field for column in view.columns.values()]
    keys = [name for name, column in view.columns.items() if column.source in view.entity.key]
    navigations = (
        {
            "Name": navigation.name,
            "Relationship": f"{view.service.namespace}.{_relation(entity_set, navigation)}",
            "FromRole": f"FromRole_{_relation(entity_set, navigation)}",
            "ToRole": f"ToRole_{_relation(entity_set, navigation)}",
        }
        for navigation in entity_set.navigations
    )
    return element(
        "EntityType",
        {"Name": entity_set.type_name, "sap:label": view.entity.label, "sap:content-version": 1},
        element("Key", {}, *(element("PropertyRef", {"Name": name}) for name in keys)),
        *(element("Property", _property(view, field, fields, is_key=field.name in keys)) for field in fields),
        *(element("NavigationProperty", navigation) for navigation in navigations),
    )


def _property(view: View, field: Field, fields: Iterable[Field], *, is_key: bool) -> Attributes:
    changeable = view.entity_set.writable and field.name not in {view.entity.changed, view.entity.created}
    return {
        "Name": field.name,
        "Type": _TYPES[field.kind],
        "Nullable": False if is_key or not field.nullable else None,
        "MaxLength": field.length if field.kind == "string" else None,
        "Precision": {"decimal": field.precision, "date": 0, "datetime": 7}.get(field.kind),
        "Scale": field.scale if field.kind == "decimal" else None,
        "ConcurrencyMode": "Fixed" if field.name == view.entity.changed and field.kind == "datetime" else None,
        "sap:label": field.label,
        "sap:unit": field.unit or field.currency,
        "sap:text": field.text,
        "sap:semantics": _semantics(field, fields),
        "sap:display-format": "Date" if field.kind == "date" else "UpperCase" if is_key and field.kind == "string" else None,
        "sap:creatable": None if changeable else False,
        "sap:updatable": None if changeable and not is_key else False,
    }


def _semantics(field: Field, fields: Iterable[Field]) -> str | None:
    if any(other.currency == field.name for other in fields):
        return "currency-code"
    return "unit-of-measure" if any(other.unit == field.name for other in fields) else None


def _relation(entity_set: EntitySet, navigation: Navigation) -> str:
    return f"assoc_{entity_set.name}_{navigation.name}"


def _association(service: Service, entity_set: EntitySet, navigation: Navigation) -> str:
    target = service.entity_set(navigation.target)
    assert target is not None
    name = _relation(entity_set, navigation)
    ends = (("FromRole", entity_set, "1" if navigation.many else "*"), ("ToRole", target, "*" if navigation.many else "0..1"))
    here = _constrained("Principal" if navigation.many else "Dependent", f"FromRole_{name}", [pair[0] for pair in navigation.pairs])
    there = _constrained("Dependent" if navigation.many else "Principal", f"ToRole_{name}", [pair[1] for pair in navigation.pairs])
    return element(
        "Association",
        {"Name": name, "sap:content-version": 1},
        *(
            element("End", {"Type": f"{service.namespace}.{end.type_name}", "Multiplicity": multiplicity, "Role": f"{role}_{name}"})
            for role, end, multiplicity in ends
        ),
        element("ReferentialConstraint", {}, *((here, there) if navigation.many else (there, here))),
    )


def _constrained(kind: str, role: str, names: Iterable[str]) -> str:
    return element(kind, {"Role": role}, *(element("PropertyRef", {"Name": name}) for name in names))


def _container(service: Service, links: Iterable[tuple[EntitySet, Navigation]]) -> str:
    sets = (
        {
            "Name": entity_set.name,
            "EntityType": f"{service.namespace}.{entity_set.type_name}",
            "sap:label": entity_set.entity.label,
            "sap:creatable": None if entity_set.writable else False,
            "sap:updatable": None if entity_set.writable else False,
            "sap:deletable": None if entity_set.writable else False,
            "sap:content-version": 1,
        }
        for entity_set in service.sets
    )
    associations = (
        element(
            "AssociationSet",
            {"Name": f"{_relation(here, navigation)}_set", "Association": f"{service.namespace}.{_relation(here, navigation)}"},
            element("End", {"EntitySet": here.name, "Role": f"FromRole_{_relation(here, navigation)}"}),
            element("End", {"EntitySet": navigation.target, "Role": f"ToRole_{_relation(here, navigation)}"}),
        )
        for here, navigation in links
    )
    return element(
        "EntityContainer",
        {"Name": f"{service.namespace}_Entities", "m:IsDefaultEntityContainer": True, "sap:supported-formats": "json"},
        *(element("EntitySet", attributes) for attributes in sets),
        *associations,
    )
