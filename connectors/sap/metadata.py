"""A service's own description ($metadata, OData V2 or V4) as Arrow schemas.

What SAP says about a field beyond its type stays with it: label, unit, currency, text, reference. V2 says it by
attributes in SAP's namespace, V4 by annotations from vocabularies; both come out the same.
"""

from __future__ import annotations

import difflib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from connectors.sap.edm import JSON_TEXT, Codec, codec
from connectors.semantics import CURRENCY, KEY, LABEL, NATIVE_TYPE, REFERENCE, TEXT, UNIT
from pilothouse.kernel.errors import SourceContractChanged

SAP: Final = "{http://www.sap.com/Protocols/SAPData}"
UNREADABLE: Final = frozenset({"Edm.Stream"})
TERMS: Final = {
    "com.sap.vocabularies.Common.v1.Label": "label",
    "com.sap.vocabularies.Common.v1.Text": "text",
    "Org.OData.Measures.V1.Unit": "unit",
    "Org.OData.Measures.V1.ISOCurrency": "currency",
}


@dataclass(frozen=True, kw_only=True)
class Property:
    """One field of an entity, as the service declares it."""

    name: str
    edm: str
    precision: int | None = None
    scale: int | None = None
    length: int | None = None
    day: bool = False  # an Edm.DateTime that holds just a date
    key: bool = False
    label: str = ""
    unit: str = ""
    currency: str = ""
    text: str = ""
    reference: str = ""

    @property
    def codec(self) -> Codec:
        """How its values are read."""
        return JSON_TEXT if self.structured else codec(self.edm, self.precision, self.scale, day=self.day)

    @property
    def structured(self) -> bool:
        """Whether its values are objects or lists; they are kept as JSON text."""
        return not self.edm.startswith("Edm.") or self.edm.startswith(("Edm.Geo", "Edm.Untyped", "Edm.Complex"))

    @property
    def native_type(self) -> str:
        """The type as the service writes it, such as Edm.Decimal(16,3)."""
        if self.edm == "Edm.Decimal" and self.precision is not None:
            return f"{self.edm}({self.precision},{self.scale or 0})"
        return f"{self.edm}({self.length})" if self.length is not None else self.edm

    def arrow(self) -> pa.Field:
        """The Arrow field, with all that the service says about it."""
        said = {
            LABEL: self.label,
            UNIT: self.unit,
            CURRENCY: self.currency,
            TEXT: self.text,
            KEY: "true" if self.key else "",
            REFERENCE: self.reference,
            NATIVE_TYPE: self.native_type,
        }
        return pa.field(self.name, self.codec.type, metadata={name: value.encode() for name, value in said.items() if value})


@dataclass(frozen=True, kw_only=True)
class EntityShape:
    """One entity set: its fields in the service's order."""

    name: str
    properties: tuple[Property, ...]
    label: str = ""

    def schema(self) -> pa.Schema:
        """The Arrow schema of its rows."""
        return pa.schema([each.arrow() for each in self.properties])

    def named(self, name: str) -> Property | None:
        """The property of that name."""
        return next((each for each in self.properties if each.name == name), None)


@dataclass(frozen=True, kw_only=True)
class ServiceShape:
    """A whole service: the OData version it speaks and its entity sets by name."""

    version: int
    entities: Mapping[str, EntityShape] = field(default_factory=dict)

    def entity(self, name: str, *, needed: Sequence[str], where: str) -> EntityShape:
        """The entity set of that name, with the fields that the stream needs; else a SourceContractChanged that says
        what is gone. `where` names source, stream and service."""
        if name not in self.entities:
            near = difflib.get_close_matches(name, self.entities, n=3)
            raise SourceContractChanged(
                f"{where}: entity set {name!r} is gone from $metadata" + (f"; it offers {', '.join(map(repr, near))}" if near else ""),
                hint="correct the stream's path in pilothouse.toml, or leave the stream out of `streams`",
            )
        shape = self.entities[name]
        for wanted in needed:
            if shape.named(wanted) is None:
                raise SourceContractChanged(
                    f"{where}: property {wanted!r} of {name} is gone from $metadata, and the stream's key or cursor needs it",
                    hint="declare the stream anew with the key and cursor that the service offers now",
                )
        return shape


def parse_metadata(document: bytes, *, where: str, stream_of: Mapping[str, str] | None = None) -> ServiceShape:
    """The service that a $metadata document describes. `stream_of` maps entity sets to streams, so that references
    name the stream where we read the target, and the entity set where we do not."""
    try:
        root = ET.fromstring(document)  # noqa: S314 - expat bounds entity expansion, the client bounds the size
    except ET.ParseError as error:
        raise SourceContractChanged(f"{where}: $metadata is not XML: {error}", hint="is this the address of an OData service?") from error
    schemas = [element for element in root.iter() if _local(element) == "Schema"]
    if not schemas:
        raise SourceContractChanged(f"{where}: $metadata describes no schema", hint="is this the address of an OData service?")
    model = _Model(schemas, root, stream_of or {})
    version = 4 if root.get("Version", "").startswith("4") else 2
    return ServiceShape(version=version, entities={name: model.shape(name, type_name) for name, type_name in model.sets.items()})


class _Model:
    """The document, indexed by qualified names."""

    def __init__(self, schemas: list[ET.Element], root: ET.Element, stream_of: Mapping[str, str]) -> None:
        self._aliases = _aliases(schemas, root)
        self._stream_of = stream_of
        self._types: dict[str, ET.Element] = {}
        self._definitions: dict[str, ET.Element] = {}
        self._associations: dict[str, ET.Element] = {}
        self._annotations: dict[str, list[ET.Element]] = {}
        self.sets: dict[str, str] = {}
        self._set_labels: dict[str, str] = {}
        for schema in schemas:
            self._index(schema)
        self._set_of_type = {type_name: name for name, type_name in reversed(self.sets.items())}

    def shape(self, name: str, type_name: str) -> EntityShape:
        """The entity set with the properties of its type and of the types that one derives from."""
        chain = list(self._chain(type_name))
        keys = [ref.get("Name", "") for entity in chain for ref in entity.iterfind("./{*}Key/{*}PropertyRef")]
        references = self._references(type_name, chain)
        elements = [(entity, element) for entity in chain for element in entity.iterfind("./{*}Property")]
        units = {element.get("Name", ""): element.get(f"{SAP}semantics", "") for _, element in elements}
        properties = tuple(
            self._property(element, self._said(type_name, entity, element), keys, references, units)
            for entity, element in elements
            if element.get("Type", "") not in UNREADABLE
        )
        return EntityShape(name=name, properties=properties, label=self._set_labels.get(name, ""))

    def _index(self, schema: ET.Element) -> None:
        namespace = schema.get("Namespace", "")
        for element in schema:
            kind, name = _local(element), f"{namespace}.{element.get('Name', '')}"
            if kind == "EntityType":
                self._types[name] = element
            elif kind in ("TypeDefinition", "EnumType"):
                self._definitions[name] = element
            elif kind == "Association":
                self._associations[name] = element
            elif kind == "Annotations":
                self._annotations.setdefault(self._full(element.get("Target", "")), []).extend(element.iterfind("./{*}Annotation"))
            elif kind == "EntityContainer":
                for each in element.iterfind("./{*}EntitySet"):
                    self.sets[each.get("Name", "")] = self._full(each.get("EntityType", ""))
                    self._set_labels[each.get("Name", "")] = each.get(f"{SAP}label", "")

    def _full(self, name: str) -> str:
        """A qualified name with its alias written out."""
        namespace, dot, rest = name.partition("/")[0].rpartition(".")
        path = name.partition("/")[1:]
        return f"{self._aliases.get(namespace, namespace)}{dot}{rest}{''.join(path)}"

    def _chain(self, type_name: str) -> Iterator[ET.Element]:
        """The type and its base types, the base first."""
        lineage: list[ET.Element] = []
        while type_name in self._types and self._types[type_name] not in lineage:
            lineage.append(self._types[type_name])
            type_name = self._full(lineage[-1].get("BaseType", ""))
        yield from reversed(lineage)

    def _property(
        self, element: ET.Element, said: Mapping[str, str], keys: Sequence[str], references: Mapping[str, str], units: Mapping[str, str]
    ) -> Property:
        name = element.get("Name", "")
        definition = self._definitions.get(self._full(element.get("Type", "")))
        unit, currency = said.get("unit", ""), said.get("currency", "")
        if unit and units.get(unit) == "currency-code":  # V2 has one attribute for both; the target tells which it is
            unit, currency = "", unit
        return Property(
            name=name,
            edm=self._edm(element, definition),
            precision=_facet(element, definition, "Precision"),
            scale=_facet(element, definition, "Scale"),
            length=_facet(element, definition, "MaxLength"),
            day=element.get(f"{SAP}display-format") == "Date",
            key=name in keys,
            label=said.get("label", ""),
            unit=unit,
            currency=currency,
            text=said.get("text", ""),
            reference=references.get(name, ""),
        )

    def _edm(self, element: ET.Element, definition: ET.Element | None) -> str:
        if definition is not None:
            return "Edm.String" if _local(definition) == "EnumType" else definition.get("UnderlyingType", "Edm.String")
        return element.get("Type", "Edm.String")

    def _said(self, type_name: str, entity: ET.Element, element: ET.Element) -> dict[str, str]:
        """Label, unit, currency and text of a property, from SAP's attributes, then from annotations."""
        said = {name: element.get(f"{SAP}{name}", "") for name in ("label", "unit", "text")}
        owner = next((full for full, each in self._types.items() if each is entity), type_name)
        outside = [
            *self._annotations.get(f"{owner}/{element.get('Name')}", []),
            *self._annotations.get(f"{type_name}/{element.get('Name')}", []),
        ]
        for annotation in [*element.iterfind("./{*}Annotation"), *outside]:
            kind = TERMS.get(self._full(annotation.get("Term", "")))
            # A text that is found over a navigation is in another table and no column of this one.
            value = (
                annotation.get("String")
                or annotation.get("Path")
                or annotation.get("PropertyPath")
                or "".join(annotation.itertext()).strip()
            )
            if kind is not None and value and (kind == "label" or (_is_path(annotation) and "/" not in value)):
                said[kind] = value
        return said

    def _references(self, type_name: str, chain: Sequence[ET.Element]) -> dict[str, str]:
        """Which field points to which field of which stream, from the constraints of to-one navigations."""
        found: dict[str, str] = {}
        for navigation in (each for entity in chain for each in entity.iterfind("./{*}NavigationProperty")):
            kind = navigation.get("Type")
            pairs = self._pairs_v2(navigation, type_name) if kind is None else self._pairs_v4(navigation, kind)
            for own, target, theirs in pairs:
                place = self._set_of_type.get(target, target.rpartition(".")[2])
                found.setdefault(own, f"{self._stream_of.get(place, place)}.{theirs}")
        return found

    def _pairs_v4(self, navigation: ET.Element, kind: str) -> Iterator[tuple[str, str, str]]:
        if kind.startswith("Collection("):
            return
        for constraint in navigation.iterfind("./{*}ReferentialConstraint"):
            yield constraint.get("Property", ""), self._full(kind), constraint.get("ReferencedProperty", "")

    def _pairs_v2(self, navigation: ET.Element, type_name: str) -> Iterator[tuple[str, str, str]]:
        association = self._associations.get(self._full(navigation.get("Relationship", "")))
        if association is None:
            return
        types = {end.get("Role", ""): self._full(end.get("Type", "")) for end in association.iterfind("./{*}End")}
        constraint = association.find("./{*}ReferentialConstraint")
        if constraint is None:
            return
        principal, dependent = constraint.find("./{*}Principal"), constraint.find("./{*}Dependent")
        if principal is None or dependent is None or dependent.get("Role") != navigation.get("FromRole"):
            return
        if types.get(dependent.get("Role", "")) != type_name:
            return
        theirs = [ref.get("Name", "") for ref in principal.iterfind("./{*}PropertyRef")]
        own = [ref.get("Name", "") for ref in dependent.iterfind("./{*}PropertyRef")]
        for mine, target in zip(own, theirs, strict=False):
            yield mine, types.get(principal.get("Role", ""), ""), target


def _aliases(schemas: list[ET.Element], root: ET.Element) -> dict[str, str]:
    includes = (element for element in root.iter() if _local(element) == "Include")
    return {alias: element.get("Namespace", "") for element in (*includes, *schemas) if (alias := element.get("Alias"))}


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _is_path(annotation: ET.Element) -> bool:
    return any(annotation.get(name) for name in ("Path", "PropertyPath")) or any(_local(child) == "Path" for child in annotation)


def _facet(element: ET.Element, definition: ET.Element | None, name: str) -> int | None:
    """A numeric facet; `Max`, `variable` and `floating` say that there is no number."""
    text = element.get(name) or (definition.get(name) if definition is not None else None) or ""
    return int(text) if re.fullmatch(r"\d+", text) else None
