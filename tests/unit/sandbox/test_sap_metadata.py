"""$metadata: everything the declarations say about a field is there, in each version's own words."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pytest

from pilothouse.sandbox.sap.services import SERVICES, Service
from tests.unit.sandbox.sap_scene import ORDERS_V2, ORDERS_V4, PARTNERS_V2, Scene, scene

EDM2 = "{http://schemas.microsoft.com/ado/2008/09/edm}"
EDM4 = "{http://docs.oasis-open.org/odata/ns/edm}"
SAP = "{http://www.sap.com/Protocols/SAPData}"


@pytest.fixture(scope="module")
def sap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("sap")) as running:
        yield running


def document(sap: Scene, path: str) -> ET.Element:
    response = sap.get(f"{path}/$metadata")
    assert response.headers["content-type"] == "application/xml"
    return ET.fromstring(response.content)


def named(elements: Iterator[ET.Element], name: str) -> ET.Element:
    return next(element for element in elements if element.get("Name") == name)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.path.rsplit("/sap/", 1)[-1])
def test_every_property_and_key_of_a_service_is_described_and_served(sap: Scene, service: Service) -> None:
    edm = EDM2 if service.version == 2 else EDM4
    described = document(sap, service.path)
    assert {entry.get("Name") for entry in described.iter(f"{edm}EntitySet")} == {entry.name for entry in service.sets}
    for entity_set in service.sets:
        kind = named(described.iter(f"{edm}EntityType"), entity_set.type_name)
        properties = [entry.get("Name") for entry in kind.iter(f"{edm}Property")]
        assert len(properties) == len(entity_set.entity.fields)
        assert len(list(kind.iter(f"{edm}PropertyRef"))) == len(entity_set.entity.key)
        for row in sap.rows(f"{service.path}/{entity_set.name}", _top=1):
            plain = [name for name in row if "@" not in name and name != "__metadata" and not isinstance(row[name], dict)]
            assert plain == properties


def test_every_navigation_leads_to_fields_that_exist() -> None:
    for service in SERVICES:
        for entity_set in service.sets:
            for navigation in entity_set.navigations:
                target: Any = service.entity_set(navigation.target)
                for here, there in navigation.pairs:
                    assert entity_set.entity.field(here).kind == target.entity.field(there).kind


def test_v2_annotates_labels_units_texts_and_dates(sap: Scene) -> None:
    orders = document(sap, ORDERS_V2)
    amount = named(orders.iter(f"{EDM2}Property"), "TotalNetAmount")
    assert (amount.get("Type"), amount.get("Precision"), amount.get("Scale")) == ("Edm.Decimal", "16", "3")
    assert amount.get(f"{SAP}unit") == "TransactionCurrency"
    assert named(orders.iter(f"{EDM2}Property"), "TransactionCurrency").get(f"{SAP}semantics") == "currency-code"
    created = named(orders.iter(f"{EDM2}Property"), "CreationDate")
    assert (created.get("Type"), created.get(f"{SAP}display-format")) == ("Edm.DateTime", "Date")
    assert named(orders.iter(f"{EDM2}Property"), "LastChangeDateTime").get("ConcurrencyMode") == "Fixed"
    partner = named(document(sap, PARTNERS_V2).iter(f"{EDM2}Property"), "BusinessPartner")
    assert partner.get(f"{SAP}label") == "Business Partner"
    assert partner.get(f"{SAP}text") == "BusinessPartnerFullName"
    assert (partner.get("Nullable"), partner.get("MaxLength")) == ("false", "10")


def test_v2_navigations_resolve_to_associations_with_constraints(sap: Scene) -> None:
    orders = document(sap, ORDERS_V2)
    navigation = named(orders.iter(f"{EDM2}NavigationProperty"), "to_Item")
    association = named(orders.iter(f"{EDM2}Association"), str(navigation.get("Relationship")).rpartition(".")[2])
    ends = {end.get("Role"): (end.get("Type"), end.get("Multiplicity")) for end in association.iter(f"{EDM2}End")}
    assert ends[navigation.get("FromRole")] == ("API_SALES_ORDER_SRV.A_SalesOrderType", "1")
    assert ends[navigation.get("ToRole")] == ("API_SALES_ORDER_SRV.A_SalesOrderItemType", "*")
    principal = next(association.iter(f"{EDM2}Principal"))
    assert principal.get("Role") == navigation.get("FromRole")
    assert [entry.get("Name") for entry in principal] == ["SalesOrder"]


def test_v4_annotates_with_vocabularies_and_constraints(sap: Scene) -> None:
    orders = document(sap, ORDERS_V4)
    said = {
        entry.get("Target"): {str(line.get("Term")): line.get("String") or line.get("Path") for line in entry}
        for entry in orders.iter(f"{EDM4}Annotations")
    }
    amount = said["SAP__self.SalesOrderType/TotalNetAmount"]
    assert amount == {"SAP__common.Label": "Net Value", "SAP__measures.ISOCurrency": "TransactionCurrency"}
    assert said["SAP__self.SalesOrderItemType/RequestedQuantity"]["SAP__measures.Unit"] == "RequestedQuantitySAPUnit"
    assert said["SAP__self.SalesOrderItemType/Product"]["SAP__common.Text"] == "SalesOrderItemText"
    item = named(orders.iter(f"{EDM4}EntityType"), "SalesOrderItemType")
    constraint = next(item.iter(f"{EDM4}ReferentialConstraint"))
    assert (constraint.get("Property"), constraint.get("ReferencedProperty")) == ("SalesOrder", "SalesOrder")
    assert named(orders.iter(f"{EDM4}Property"), "CreationDate").get("Type") == "Edm.Date"
    tracking = next(entry for entry in orders.iter(f"{EDM4}Annotations") if entry.get("Target") == "SAP__self.Container/SalesOrderItem")
    assert next(tracking.iter(f"{EDM4}PropertyValue")).attrib == {"Property": "Supported", "Bool": "true"}
