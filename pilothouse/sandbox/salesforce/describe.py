"""What the org says about its objects and fields: `sobjects`, `sobjects/X`, `sobjects/X/describe`."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.sandbox.drift import Column
from pilothouse.sandbox.salesforce.objects import (
    CALCULATED,
    SYSTEM_FIELDS,
    Objects,
    SObject,
    api_type,
    is_external_id,
    is_identifier,
    relationship,
)

_SOAP_TYPES: Final = {"id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int", "double": "xsd:double",
                      "currency": "xsd:double", "percent": "xsd:double", "date": "xsd:date", "datetime": "xsd:dateTime"}  # fmt: skip
_AUTOMATIC: Final = {("Case", "CaseNumber")}


def global_describe(objects: Objects, base: str) -> dict[str, Any]:
    """Every object of the org, in short."""
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": [summary(found, base) for found in objects.all()]}


def summary(found: SObject, base: str) -> dict[str, Any]:
    """One object in short."""
    address = f"{base}/sobjects/{found.name}"
    return {
        "activateable": False,
        "createable": True,
        "custom": found.name.endswith("__c"),
        "customSetting": False,
        "deletable": found.soft_deletes,
        "deprecatedAndHidden": False,
        "feedEnabled": False,
        "hasSubtypes": False,
        "isSubtype": False,
        "keyPrefix": found.prefix,
        "label": found.entity.label or found.name,
        "labelPlural": _plural(found.entity.label or found.name),
        "layoutable": True,
        "mergeable": False,
        "mruEnabled": True,
        "name": found.name,
        "queryable": True,
        "replicateable": True,
        "retrieveable": True,
        "searchable": False,
        "triggerable": True,
        "undeletable": found.soft_deletes,
        "updateable": True,
        "urls": {"sobject": address, "describe": f"{address}/describe", "rowTemplate": f"{address}/{{ID}}"},
    }


def full_describe(found: SObject, objects: Objects, base: str) -> dict[str, Any]:
    """One object with all that is known about its fields and its children."""
    return {
        **summary(found, base),
        "actionOverrides": [],
        "childRelationships": [
            _child(child, column) for child in objects.all() for column in child.columns if column.field.reference == f"{found.name}.Id"
        ],
        "fields": [_field(found, column) for column in found.columns],
        "namedLayoutInfos": [],
        "recordTypeInfos": [],
        "supportedScopes": [{"label": "All records", "name": "everything"}],
    }


def _field(found: SObject, column: Column) -> dict[str, Any]:
    field, kind = column.field, api_type(column)
    writable = found.writable(column)
    text = field.kind == "string"
    calculated = column.name in CALCULATED.get(found.name, frozenset()) and (found.name, column.name) not in _AUTOMATIC
    length = (field.length or 255) if text else 0
    precision, scale = _digits(column)
    return {
        "aggregatable": True,
        "autoNumber": (found.name, column.name) in _AUTOMATIC,
        "byteLength": length if is_identifier(column) else length * 3,
        "calculated": calculated,
        "calculatedFormula": None,
        "cascadeDelete": False,
        "caseSensitive": False,
        "compoundFieldName": _compound(found, column.name),
        "controllerName": None,
        "createable": writable,
        "custom": column.name.endswith("__c"),
        "defaultValue": False if field.kind == "bool" else None,
        "defaultedOnCreate": column.name in SYSTEM_FIELDS or field.kind == "bool" or column.name == "OwnerId",
        "dependentPicklist": False,
        "deprecatedAndHidden": False,
        "digits": 8 if field.kind == "int" else 0,
        "encrypted": False,
        "externalId": is_external_id(column),
        "extraTypeInfo": None,
        "filterable": length <= 4000,
        "groupable": length <= 255 and field.kind not in {"decimal", "double", "datetime"},
        "htmlFormatted": False,
        "idLookup": column.name == "Id" or is_external_id(column),
        "inlineHelpText": None,
        "label": field.label or column.name,
        "length": length,
        "mask": None,
        "name": column.name,
        "nameField": column.name in {"Name", "CaseNumber"},
        "namePointing": False,
        "nillable": field.nullable and field.kind != "bool",
        "permissionable": not (column.name in SYSTEM_FIELDS or not field.nullable),
        "picklistValues": [
            {"active": True, "defaultValue": False, "label": value, "validFor": None, "value": value} for value in field.picklist
        ],
        "polymorphicForeignKey": False,
        "precision": precision,
        "queryByDistance": False,
        "referenceTargetField": None,
        "referenceTo": [field.reference.partition(".")[0]] if field.reference else [],
        "relationshipName": relationship(column) if field.reference else None,
        "relationshipOrder": None,
        "restrictedDelete": False,
        "restrictedPicklist": False,
        "scale": scale,
        "searchPrefilterable": False,
        "soapType": _SOAP_TYPES.get(kind, "xsd:string"),
        "sortable": length <= 4000,
        "type": kind,
        "unique": False,
        "updateable": writable,
        "writeRequiresMasterRead": False,
    }


def _digits(column: Column) -> tuple[int, int]:
    field = column.field
    if field.kind == "decimal":
        return field.precision or 18, field.scale or 0
    return (18, 6) if field.kind == "double" else (0, 0)


def _compound(found: SObject, name: str) -> str | None:
    """The compound that a part belongs to: a person's name is one field and three."""
    person = found.name in {"Contact", "User"} and name in {"FirstName", "LastName", "Salutation"}
    return "Name" if person else None


def _child(child: SObject, column: Column) -> dict[str, Any]:
    system = column.name in SYSTEM_FIELDS or column.name == "OwnerId"
    own = column.name == f"{column.field.reference.partition('.')[0]}Id"
    return {
        "cascadeDelete": False,
        "childSObject": child.name,
        "deprecatedAndHidden": False,
        "field": column.name,
        "junctionIdListNames": [],
        "junctionReferenceTo": [],
        "relationshipName": _plural(child.name) if own and not system else None,
        "restrictedDelete": False,
    }


def _plural(label: str) -> str:
    return f"{label[:-1]}ies" if label.endswith("y") else f"{label}s"
