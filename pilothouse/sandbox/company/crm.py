"""Rows of Salesforce: the sales team, accounts as people typed them, contacts, opportunities and support cases.

Only `AccountNumber` could tie an account to SAP, and sales fills it rarely: who is who must be found out.
"""

from __future__ import annotations

import unicodedata

import numpy as np

from pilothouse.sandbox.company.columns import Array, Columns, dates, decimals, moments
from pilothouse.sandbox.company.industries import INDUSTRIES
from pilothouse.sandbox.company.noise import DRAWS, as_typed, street_as_typed, uniforms
from pilothouse.sandbox.company.places import COUNTRIES
from pilothouse.sandbox.company.salesforce import STAGES, record_id
from pilothouse.sandbox.company.world import DAY, World

USERS = 24
_TITLES = ("Head of Purchasing", "Buyer", "Managing Director", "Plant Manager", "CFO", "Maintenance Lead", "Accounts Payable")
_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Trade Show", "Other")
_DEALS = ("Retrofit", "New line", "Spare parts", "Framework")
_CHANCE = (10, 20, 35, 60, 80, 100, 0)
_FORECAST = ("Pipeline", "Pipeline", "Pipeline", "Best Case", "Commit", "Closed", "Omitted")
_SUBJECTS = {
    "Problem": ("Vibration after installation", "Unit runs hot", "Bearing noise", "Controller error E17", "Seal leaks oil"),
    "Question": ("Spare part number wanted", "Request for data sheet", "Lead time?", "Certificate of origin"),
    "Complaint": ("Wrong quantity delivered", "Damaged in transit", "Third late delivery", "Parts out of tolerance"),
    "Billing": ("Invoice does not match order", "Asks for longer payment terms", "Disputes surcharge", "Copy of invoice"),
}
_KINDS = tuple(_SUBJECTS)


def users(now: int) -> Columns:
    """The sales team and the support desk."""
    given = [name for land in COUNTRIES for name in land.given_names[:3]][:USERS]
    family = [name for land in COUNTRIES for name in land.surnames[3:6]][:USERS]
    names = [f"{first} {last}" for first, last in zip(given, family, strict=True)]
    mail = [f"{plain(first)}.{plain(last)}@helmsman.example" for first, last in zip(given, family, strict=True)]
    joined = moments(np.arange(USERS) * 9 * DAY + now - 1_500 * DAY)
    return Columns(
        USERS,
        {
            "Id": [user_id(place) for place in range(USERS)],
            "Username": mail,
            "FirstName": given,
            "LastName": family,
            "Name": names,
            "Email": mail,
            "Alias": [plain(name)[:8] for name in names],
            "Title": ["Support Engineer" if place % 4 == 3 else "Account Executive" for place in range(USERS)],
            "Department": ["Support" if place % 4 == 3 else "Sales" for place in range(USERS)],
            "IsActive": 1,
            "CreatedDate": joined,
            "LastModifiedDate": joined,
            "SystemModstamp": joined,
        },
    )


def user_id(place: int) -> str:
    """The Id of the n-th user."""
    return record_id("User", place + 1)


def plain(text: str) -> str:
    """Letters and digits only, as in an address: no accents, no blanks."""
    folded = unicodedata.normalize("NFKD", text.replace("ß", "ss").replace("ł", "l").replace("Ł", "L"))
    return "".join(letter for letter in folded.lower() if letter.isascii() and letter.isalnum())


def accounts(rng: np.random.Generator, world: World, firm: Array, customer: Array, first: int, created: Array, changed: Array) -> Columns:
    """Accounts for these firms, as a sales person typed them; `customer` says which firms buy already."""
    firms, count, places = world.firms, len(firm), firm.tolist()
    names, streets = uniforms(rng, count, DRAWS), uniforms(rng, count, 4)
    known, numbered, moved = (rng.random(count) < share for share in (0.45, 0.10, 0.05))
    land = [COUNTRIES[code] for code in firms.country[firm].tolist()]
    city = [country.cities[0][0] if gone else firms.city[place] for country, gone, place in zip(land, moved.tolist(), places, strict=True)]
    employees = np.maximum(3, (firms.size[firm] * 60).astype(np.int64))
    site = [f"www.{plain(firms.name[place].removesuffix(firms.legal_form[place]))[:24]}.example" for place in places]
    # The firm's place stands in for a customer number from the old system: a hint for a tenth of the accounts, not a key.
    old = [f"D{place + 10_000}" if told else None for place, told in zip(places, numbered.tolist(), strict=True)]
    mood = np.clip(np.rint(1 + 0.7 * firms.habit[firm] + 0.7 * rng.standard_normal(count)), 0, 2).astype(np.int64)
    return Columns(
        count,
        {
            "Id": [record_id("Account", first + place) for place in range(count)],
            "Name": [as_typed(firms.name[f], firms.legal_form[f], firms.city[f], u) for f, u in zip(places, names, strict=True)],
            "Type": ["Customer" if buys else "Prospect" for buys in customer.tolist()],
            "ParentId": None,
            "BillingStreet": [
                f"{street_as_typed(firms.street[f], u)} {firms.house_number[f]}" for f, u in zip(places, streets, strict=True)
            ],
            "BillingCity": city,
            "BillingState": [firms.region[place] or None for place in places],
            "BillingPostalCode": [firms.postal_code[place] if u[3] > 0.08 else None for place, u in zip(places, streets, strict=True)],
            "BillingCountry": [country.name if u[0] < 0.8 else country.code for country, u in zip(land, streets, strict=True)],
            "Phone": [
                f"+{30 + len(country.streets)} {n}" for country, n in zip(land, rng.integers(10**7, 10**8, count).tolist(), strict=True)
            ],
            "Website": [address if u[1] < 0.7 else None for address, u in zip(site, streets, strict=True)],
            "Industry": [INDUSTRIES[code].name for code in firms.industry[firm].tolist()],
            "AnnualRevenue": decimals(employees * 18_000_000, scale=2),
            "NumberOfEmployees": employees.tolist(),
            "Rating": [("Hot", "Warm", "Cold")[place] for place in rng.integers(0, 3, count).tolist()],
            "AccountNumber": old,
            "Description": None,
            "Tax_Number__c": [firms.tax_number[place] if told else None for place, told in zip(places, known.tolist(), strict=True)],
            "Customer_Since__c": [
                day if buys else None for day, buys in zip(dates(firms.customer_from[firm]), customer.tolist(), strict=True)
            ],
            "Payment_Behaviour__c": [
                ("Good", "Mixed", "Poor")[m] if buys else None for m, buys in zip(mood.tolist(), customer.tolist(), strict=True)
            ],
            **_system(rng, count, created, changed),
        },
    )


def contacts(
    rng: np.random.Generator, world: World, account: list[str], firm: Array, first: int, created: Array, changed: Array
) -> Columns:
    """One contact for each of these accounts, which stand for these firms."""
    count, draws = len(firm), uniforms(rng, len(firm), 8)
    land = [COUNTRIES[code] for code in world.firms.country[firm].tolist()]
    given = [country.given_names[int(u[0] * len(country.given_names))] for country, u in zip(land, draws, strict=True)]
    family = [country.surnames[int(u[1] * len(country.surnames))] for country, u in zip(land, draws, strict=True)]
    host = [plain(world.firms.name[place].split()[0]) for place in firm.tolist()]
    return Columns(
        count,
        {
            "Id": [record_id("Contact", first + place) for place in range(count)],
            "AccountId": account,
            "FirstName": given,
            "LastName": family,
            "Name": [f"{first_name} {last}" for first_name, last in zip(given, family, strict=True)],
            "Salutation": [("Mr.", "Ms.", "Dr.")[int(u[2] * 3)] for u in draws],
            "Title": [_TITLES[int(u[3] * len(_TITLES))] for u in draws],
            "Department": ["Finance" if u[3] > 0.6 else "Purchasing" for u in draws],
            "Email": [f"{plain(a)[:1]}.{plain(b)}@{h}.example" for a, b, h in zip(given, family, host, strict=True)],
            "Phone": [f"+49 {int(u[4] * 10**8):08d}" for u in draws],
            "MobilePhone": [f"+49 17{int(u[5] * 10**8):08d}" if u[5] < 0.5 else None for u in draws],
            "LeadSource": [_SOURCES[int(u[6] * len(_SOURCES))] for u in draws],
            "HasOptedOutOfEmail": [int(u[7] < 0.07) for u in draws],
            **_system(rng, count, created, changed),
        },
    )


def stage(place: int) -> dict[str, str | int]:
    """What follows from an opportunity's stage, given by its place in `STAGES`."""
    return {
        "StageName": STAGES[place],
        "Probability": str(_CHANCE[place]),
        "IsClosed": int(place >= 5),
        "IsWon": int(place == 5),
        "ForecastCategoryName": _FORECAST[place],
    }


def opportunities(
    rng: np.random.Generator,
    world: World,
    account: list[str],
    firm: Array,
    names: list[str],
    first: int,
    created: Array,
    now: int,
    stages: Array,
) -> Columns:
    """Opportunities on these accounts, each at a stage given by its place in `STAGES`."""
    count = len(firm)
    amount = np.maximum(100_000, np.rint(rng.lognormal(14.2, 1.0, count) * world.firms.size[firm] ** 0.5)).astype(np.int64)
    chance = np.array(_CHANCE)[stages]
    closed = stages >= 5
    ends = np.where(closed, np.minimum(created + DAY * rng.integers(10, 120, count), now), now + DAY * rng.integers(5, 150, count))
    changed = np.where(closed, ends, created + ((now - created) * rng.random(count)).astype(np.int64))
    derived = [stage(place) for place in stages.tolist()]
    return Columns(
        count,
        {
            "Id": [record_id("Opportunity", first + place) for place in range(count)],
            "AccountId": account,
            "Name": [
                f"{name} - {('Retrofit', 'New line', 'Spare parts', 'Framework')[place % 4]}"[:120] for place, name in enumerate(names)
            ],
            **{name: [row[name] for row in derived] for name in derived[0]},
            "Amount": decimals(amount, scale=2),
            "ExpectedRevenue": decimals(amount * chance // 100, scale=2),
            "CloseDate": dates(ends // DAY),
            "Type": [
                "New Customer" if world.firms.customer_from[place] > now // DAY - 90 else "Existing Customer" for place in firm.tolist()
            ],
            "NextStep": [None if done else "Call back" for done in closed.tolist()],
            "LeadSource": [_SOURCES[place] for place in rng.integers(0, len(_SOURCES), count).tolist()],
            "Description": None,
            **_system(rng, count, created, changed),
        },
    )


def cases(
    rng: np.random.Generator, account: list[str], contact: list[str | None], trouble: Array, first: int, created: Array, now: int
) -> Columns:
    """Support cases on these accounts; firms in trouble with us complain and escalate more."""
    count = len(trouble)
    kind = np.where(rng.random(count) < 1 / (1 + np.exp(1.0 - 0.7 * trouble)), rng.integers(2, 4, count), rng.integers(0, 2, count))
    closes = created + (DAY * rng.lognormal(1.0, 0.9, count)).astype(np.int64)
    closed = closes <= now
    escalated = rng.random(count) < np.clip(0.08 + 0.07 * trouble, 0.01, 0.5)
    working = np.where(escalated, 2, np.where(rng.random(count) < 0.5, 1, 0))
    status = np.where(closed, 3, working)
    changed = np.where(closed, closes, created + ((now - created) * rng.random(count)).astype(np.int64))
    kinds = [_KINDS[place] for place in kind.tolist()]
    draws = uniforms(rng, count, 3)
    return Columns(
        count,
        {
            "Id": [record_id("Case", first + place) for place in range(count)],
            "CaseNumber": [f"{first + place:08d}" for place in range(count)],
            "AccountId": account,
            "ContactId": contact,
            "Subject": [_SUBJECTS[word][int(u[0] * len(_SUBJECTS[word]))] for word, u in zip(kinds, draws, strict=True)],
            "Description": None,
            "Type": kinds,
            "Reason": [("Breakdown", "Performance", "Delivery", "Invoice")[place] for place in kind.tolist()],
            "Status": [("New", "Working", "Escalated", "Closed")[place] for place in status.tolist()],
            "Priority": [
                "High" if urgent else ("Medium", "Low")[int(u[1] * 2)] for urgent, u in zip(escalated.tolist(), draws, strict=True)
            ],
            "Origin": [("Phone", "Email", "Web")[int(u[2] * 3)] for u in draws],
            "IsClosed": closed.astype(np.int64).tolist(),
            "IsEscalated": escalated.astype(np.int64).tolist(),
            "ClosedDate": [moment if done else None for moment, done in zip(moments(closes), closed.tolist(), strict=True)],
            **_system(rng, count, created, changed),
        },
    )


def _system(rng: np.random.Generator, count: int, created: Array, changed: Array) -> dict[str, list[str] | int]:
    owner = [user_id(place) for place in rng.integers(0, USERS, count).tolist()]
    stamp = moments(changed)
    return {
        "OwnerId": owner,
        "CreatedById": owner,
        "CreatedDate": moments(created),
        "LastModifiedById": owner,
        "LastModifiedDate": stamp,
        "SystemModstamp": stamp,
        "IsDeleted": 0,
    }
