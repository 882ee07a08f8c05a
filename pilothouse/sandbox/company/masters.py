"""Rows of SAP's master data: business partners with address and tax number, and products."""

from __future__ import annotations

import uuid

import numpy as np

from pilothouse.sandbox.company.columns import Array, Columns, dates, moments
from pilothouse.sandbox.company.industries import INDUSTRIES
from pilothouse.sandbox.company.places import COUNTRIES
from pilothouse.sandbox.company.sales import address_number, product_number, product_text
from pilothouse.sandbox.company.world import DAY, World

_TAX_KNOWN = 0.96
_CLERKS = ("CBAUER", "MSTEIN", "MDM_BATCH", "LROSSI")


def partners(rng: np.random.Generator, world: World, places: Array, now: int) -> tuple[Columns, Columns, Columns]:
    """Business partners, their addresses and tax numbers, for these places among `world.partner_firm`."""
    firms, firm, count = world.firms, world.partner_firm[places], len(places)
    numbers = [world.partner_number[place] for place in places.tolist()]
    names = [world.partner_name[place] for place in places.tolist()]
    created = np.minimum(firms.customer_from[firm], now // DAY)
    changed = created + ((now // DAY - created) * rng.random(count) ** 0.5).astype(np.int64)
    language = [COUNTRIES[code].language for code in firms.country[firm].tolist()]
    clerk = [_CLERKS[place] for place in rng.integers(0, len(_CLERKS), count).tolist()]
    headers = Columns(
        count,
        {
            "BusinessPartner": numbers,
            "Customer": numbers,
            "Supplier": "",
            "BusinessPartnerCategory": "2",
            "BusinessPartnerGrouping": "BP02",
            "BusinessPartnerFullName": [name[:81] for name in names],
            "BusinessPartnerName": [name[:81] for name in names],
            "OrganizationBPName1": [name[:40] for name in names],
            "OrganizationBPName2": [name[40:80] for name in names],
            "SearchTerm1": [name.split()[0].upper()[:20] for name in names],
            "LegalForm": [f"{len(firms.legal_form[place]):02d}" for place in firm.tolist()],
            "Industry": [INDUSTRIES[code].code for code in firms.industry[firm].tolist()],
            "CorrespondenceLanguage": language,
            "Language": language,
            "OrganizationFoundationDate": [f"{year}-01-01" for year in firms.founded[firm].tolist()],
            "OrganizationLiquidationDate": None,
            "BusinessPartnerIsBlocked": 0,
            "IsMarkedForArchiving": 0,
            "BusinessPartnerUUID": [str(uuid.uuid5(uuid.NAMESPACE_OID, number)) for number in numbers],
            "CreatedByUser": clerk,
            "CreationDate": dates(created),
            "LastChangedByUser": clerk,
            "LastChangeDate": dates(changed),
        },
    )
    known = np.flatnonzero(rng.random(count) < _TAX_KNOWN)
    return headers, _addresses(world, firm, numbers, names, created), _tax_numbers(world, firm, numbers, known)


def _addresses(world: World, firm: Array, numbers: list[str], names: list[str], created: Array) -> Columns:
    firms, places = world.firms, firm.tolist()
    land = [COUNTRIES[code] for code in firms.country[firm].tolist()]
    return Columns(
        len(places),
        {
            "BusinessPartner": numbers,
            "AddressID": [address_number(number) for number in numbers],
            "ValidityStartDate": moments(created * DAY),
            "ValidityEndDate": "9999-12-31T23:59:59.000000Z",
            "AddressUUID": [str(uuid.uuid5(uuid.NAMESPACE_OID, f"address {number}")) for number in numbers],
            "FullName": [name[:80] for name in names],
            "StreetName": [firms.street[place] for place in places],
            "HouseNumber": [firms.house_number[place] for place in places],
            "PostalCode": [firms.postal_code[place] for place in places],
            "CityName": [firms.city[place] for place in places],
            "District": "",
            "Region": [firms.region[place] for place in places],
            "Country": [country.code for country in land],
            "POBox": "",
            "POBoxPostalCode": "",
            "Language": [country.language for country in land],
            "AddressTimeZone": ["EST" if country.code == "US" else "WET" if country.code == "GB" else "CET" for country in land],
            "TransportZone": [
                f"{country.code}0000{firms.postal_code[place][:2]}"[:10] for country, place in zip(land, places, strict=True)
            ],
        },
    )


def _tax_numbers(world: World, firm: Array, numbers: list[str], known: Array) -> Columns:
    tax = [world.firms.tax_number[place] for place in firm[known].tolist()]
    land = [COUNTRIES[code].code for code in world.firms.country[firm[known]].tolist()]
    return Columns(
        len(tax),
        {
            "BusinessPartner": [numbers[place] for place in known.tolist()],
            "BPTaxType": ["US1" if code == "US" else f"{code}0" for code in land],
            "BPTaxNumber": tax,
            "BPTaxLongNumber": "",
        },
    )


def products(rng: np.random.Generator, world: World, places: Array, now: int) -> Columns:
    """Products, for these places among `world.price`."""
    count = len(places)
    created = now - DAY * rng.integers(400, 4_000, count)
    changed = created + ((now - created) * rng.random(count) ** 0.5).astype(np.int64)
    family = world.group[places].tolist()
    grams = world.weight[places].tolist()
    origin = [COUNTRIES[code].code for code in rng.integers(0, len(COUNTRIES), count).tolist()]
    return Columns(
        count,
        {
            "Product": [product_number(place) for place in places.tolist()],
            "ProductType": [("FERT", "HAWA", "ERSA")[place % 3] for place in places.tolist()],
            "CrossPlantStatus": "",
            "CrossPlantStatusValidityDate": None,
            "IsMarkedForDeletion": 0,
            "ProductOldID": [f"H{place:06d}" for place in places.tolist()],
            "GrossWeight": [f"{weight * 1.08 / 1000:.3f}" for weight in grams],
            "NetWeight": [f"{weight / 1000:.3f}" for weight in grams],
            "WeightUnit": "KG",
            "ProductGroup": [f"L{place + 1:03d}" for place in family],
            "BaseUnit": "PC",
            "ItemCategoryGroup": "NORM",
            "ProductHierarchy": [f"00100{place + 1:05d}" for place in family],
            "Division": "00",
            "VolumeUnit": "L",
            "ProductVolume": [f"{weight / 2700:.3f}" for weight in grams],
            "SizeOrDimensionText": [f"{round((weight / 2.7) ** (1 / 3) * 10)} mm" for weight in grams],
            "IndustryStandardName": [product_text(place, kind)[:18] for place, kind in zip(places.tolist(), family, strict=True)],
            "ProductStandardID": [ean13(place) for place in places.tolist()],
            "CountryOfOrigin": origin,
            "IsBatchManagementRequired": 0,
            "CreatedByUser": "MDM_BATCH",
            "CreationDateTime": moments(created),
            "LastChangedByUser": "MDM_BATCH",
            "LastChangeDateTime": moments(changed),
        },
    )


def ean13(place: int) -> str:
    """An article number with a right check digit."""
    digits = f"4099{place:08d}"
    odd, even = (sum(int(digit) for digit in digits[start::2]) for start in (0, 1))
    return f"{digits}{-(odd + 3 * even) % 10}"
