"""$metadata of both versions as Arrow schemas with all that SAP says about its fields."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sap.metadata import ServiceShape, parse_metadata
from connectors.semantics import CURRENCY, KEY, LABEL, NATIVE_TYPE, REFERENCE, TEXT, UNIT
from pilothouse.kernel.errors import SourceContractChanged

V2 = b"""<?xml version="1.0" encoding="utf-8"?>
<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"
  xmlns:sap="http://www.sap.com/Protocols/SAPData"><edmx:DataServices m:DataServiceVersion="2.0">
<Schema Namespace="SRV" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">
  <EntityType Name="ItemType"><Key><PropertyRef Name="Order"/><PropertyRef Name="Item"/></Key>
    <Property Name="Order" Type="Edm.String" Nullable="false" MaxLength="10" sap:label="Sales Order"/>
    <Property Name="Item" Type="Edm.String" Nullable="false" MaxLength="6"/>
    <Property Name="Product" Type="Edm.String" MaxLength="40" sap:text="ProductName"/>
    <Property Name="ProductName" Type="Edm.String" MaxLength="Max"/>
    <Property Name="Net" Type="Edm.Decimal" Precision="16" Scale="3" sap:label="Net Value" sap:unit="Currency"/>
    <Property Name="Currency" Type="Edm.String" MaxLength="5" sap:semantics="currency-code"/>
    <Property Name="Weight" Type="Edm.Decimal" Precision="15" sap:unit="WeightUnit"/>
    <Property Name="WeightUnit" Type="Edm.String" MaxLength="3" sap:semantics="unit-of-measure"/>
    <Property Name="CreatedOn" Type="Edm.DateTime" Precision="0" sap:display-format="Date"/>
    <Property Name="ChangedAt" Type="Edm.DateTimeOffset" Precision="7"/>
    <Property Name="At" Type="Edm.Time" Precision="0"/>
    <Property Name="Picture" Type="Edm.Stream"/>
    <NavigationProperty Name="to_Order" Relationship="SRV.OrderItem" FromRole="Items" ToRole="Head"/>
  </EntityType>
  <EntityType Name="OrderType"><Key><PropertyRef Name="Order"/></Key>
    <Property Name="Order" Type="Edm.String" Nullable="false" MaxLength="10"/>
    <NavigationProperty Name="to_Item" Relationship="SRV.OrderItem" FromRole="Head" ToRole="Items"/>
  </EntityType>
  <Association Name="OrderItem"><End Type="SRV.OrderType" Multiplicity="1" Role="Head"/>
    <End Type="SRV.ItemType" Multiplicity="*" Role="Items"/>
    <ReferentialConstraint><Principal Role="Head"><PropertyRef Name="Order"/></Principal>
      <Dependent Role="Items"><PropertyRef Name="Order"/></Dependent></ReferentialConstraint>
  </Association>
  <EntityContainer Name="C" m:IsDefaultEntityContainer="true"><EntitySet Name="A_Item" EntityType="SRV.ItemType" sap:label="Items"/>
    <EntitySet Name="A_Order" EntityType="SRV.OrderType"/></EntityContainer>
</Schema></edmx:DataServices></edmx:Edmx>"""

V4 = b"""<?xml version="1.0"?>
<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">
<edmx:Reference Uri="x"><edmx:Include Namespace="com.sap.vocabularies.Common.v1" Alias="SAP__common"/></edmx:Reference>
<edmx:Reference Uri="y"><edmx:Include Namespace="Org.OData.Measures.V1" Alias="Measures"/></edmx:Reference>
<edmx:DataServices><Schema Namespace="com.sap.srv" Alias="SAP__self" xmlns="http://docs.oasis-open.org/odata/ns/edm">
  <TypeDefinition Name="Money" UnderlyingType="Edm.Decimal" Precision="16" Scale="3"/>
  <EnumType Name="Colour"><Member Name="Red"/></EnumType>
  <ComplexType Name="Place"><Property Name="City" Type="Edm.String"/></ComplexType>
  <EntityType Name="Base" Abstract="true"><Key><PropertyRef Name="Order"/></Key>
    <Property Name="Order" Type="Edm.String" MaxLength="10" Nullable="false"/></EntityType>
  <EntityType Name="ItemType" BaseType="SAP__self.Base"><Key><PropertyRef Name="Item"/></Key>
    <Property Name="Item" Type="Edm.String" MaxLength="6" Nullable="false"/>
    <Property Name="Product" Type="Edm.String" MaxLength="40"><Annotation Term="SAP__common.Label" String="Product"/></Property>
    <Property Name="ProductName" Type="Edm.String"/>
    <Property Name="Net" Type="SAP__self.Money"/>
    <Property Name="Currency" Type="Edm.String" MaxLength="5"/>
    <Property Name="Weight" Type="Edm.Decimal" Scale="variable"/>
    <Property Name="WeightUnit" Type="Edm.String" MaxLength="3"/>
    <Property Name="On" Type="Edm.Date"/>
    <Property Name="Colour" Type="SAP__self.Colour"/><Property Name="Place" Type="SAP__self.Place"/>
    <NavigationProperty Name="_Order" Type="SAP__self.OrderType" Partner="_Item">
      <ReferentialConstraint Property="Order" ReferencedProperty="Order"/></NavigationProperty>
  </EntityType>
  <EntityType Name="OrderType" BaseType="SAP__self.Base">
    <NavigationProperty Name="_Item" Type="Collection(SAP__self.ItemType)">
      <ReferentialConstraint Property="Order" ReferencedProperty="Order"/></NavigationProperty>
  </EntityType>
  <EntityContainer Name="C"><EntitySet Name="Item" EntityType="SAP__self.ItemType"/>
    <EntitySet Name="Order" EntityType="SAP__self.OrderType"/></EntityContainer>
  <Annotations Target="SAP__self.ItemType/Net"><Annotation Term="SAP__common.Label" String="Net Value"/>
    <Annotation Term="Measures.ISOCurrency" Path="Currency"/></Annotations>
  <Annotations Target="SAP__self.ItemType/Weight"><Annotation Term="Measures.Unit"><Path>WeightUnit</Path></Annotation></Annotations>
  <Annotations Target="SAP__self.ItemType/Product"><Annotation Term="SAP__common.Text" Path="ProductName"/></Annotations>
  <Annotations Target="SAP__self.ItemType/Item"><Annotation Term="SAP__common.Text" Path="_Other/Text"/></Annotations>
</Schema></edmx:DataServices></edmx:Edmx>"""


def service(document: bytes) -> ServiceShape:
    return parse_metadata(document, where="s4: /srv", stream_of={"A_Order": "sales_order", "Order": "sales_order"})


def item(document: bytes) -> pa.Schema:
    shape = service(document)
    name = "A_Item" if shape.version == 2 else "Item"
    return shape.entity(name, needed=["Order", "Item"], where="s4 / item").schema()


def said(schema: pa.Schema, name: str) -> dict[bytes, bytes]:
    return dict(schema.field(name).metadata or {})


def test_the_version_is_the_documents_own() -> None:
    assert (service(V2).version, service(V4).version) == (2, 4)


@pytest.mark.parametrize("document", [V2, V4], ids=["V2", "V4"])
def test_what_sap_says_about_a_field_travels_with_it(document: bytes) -> None:
    schema = item(document)
    assert said(schema, "Net") == {LABEL: b"Net Value", CURRENCY: b"Currency", NATIVE_TYPE: b"Edm.Decimal(16,3)"}
    assert said(schema, "Weight")[UNIT] == b"WeightUnit"
    assert CURRENCY not in said(schema, "Weight")
    assert said(schema, "Product")[TEXT] == b"ProductName"
    assert said(schema, "Order")[REFERENCE] == b"sales_order.Order"
    assert [field.name for field in schema if said(schema, field.name).get(KEY) == b"true"] == ["Order", "Item"]
    assert said(schema, "Item")[NATIVE_TYPE] == b"Edm.String(6)"
    assert TEXT not in said(schema, "Item")


def test_types_of_v2() -> None:
    schema = item(V2)
    types = {field.name: field.type for field in schema}
    assert types["Net"] == pa.decimal128(16, 3)
    assert types["Weight"] == pa.decimal128(15, 0)
    assert types["CreatedOn"] == pa.date32()
    assert types["ChangedAt"] == pa.timestamp("us", tz="UTC")
    assert types["At"] == pa.time64("us")
    assert "Picture" not in types


def test_types_of_v4() -> None:
    types = {field.name: field.type for field in item(V4)}
    assert types["Net"] == pa.decimal128(16, 3)
    assert types["Weight"] == pa.decimal128(38, 18)
    assert types["On"] == pa.date32()
    assert types["Colour"] == types["Place"] == pa.string()


def test_the_head_of_a_relation_does_not_point_to_its_lines() -> None:
    for document, name in ((V2, "A_Order"), (V4, "Order")):
        schema = service(document).entity(name, needed=[], where="w").schema()
        assert REFERENCE not in said(schema, "Order")


def test_a_missing_entity_set_is_named_with_what_is_near() -> None:
    with pytest.raises(SourceContractChanged, match=r"s4 / x: entity set 'A_Items' is gone from \$metadata; it offers 'A_Item'"):
        service(V2).entity("A_Items", needed=[], where="s4 / x")


def test_a_key_or_cursor_that_vanished_is_named() -> None:
    with pytest.raises(SourceContractChanged, match=r"s4 / x: property 'LastChangeDate' of A_Item is gone"):
        service(V2).entity("A_Item", needed=["Order", "LastChangeDate"], where="s4 / x")


@pytest.mark.parametrize("document", [b"", b"<html><body>", b"not xml", b"<a/>", V2[:500]])
def test_what_describes_no_service_is_a_changed_contract(document: bytes) -> None:
    with pytest.raises(SourceContractChanged, match=r"s4: /srv: \$metadata"):
        service(document)


@given(st.binary(max_size=200))
def test_no_document_crashes_the_parser(document: bytes) -> None:
    with pytest.raises(SourceContractChanged):
        service(document)


def test_entities_that_expand_without_end_are_refused() -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE x [<!ENTITY e0 "ha">{levels}]><x>&e11;</x>'.encode()
    with pytest.raises(SourceContractChanged, match="not XML"):
        service(bomb)
