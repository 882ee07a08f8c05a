"""What happens in Salesforce from beat to beat: deals move, customers complain, people come and go, records are deleted."""

from __future__ import annotations

import numpy as np

from pilothouse.sandbox.company import crm
from pilothouse.sandbox.company import salesforce as sf
from pilothouse.sandbox.company.beat import Beat
from pilothouse.sandbox.company.columns import Array
from pilothouse.sandbox.company.schema import Entity
from pilothouse.sandbox.company.store import timestamp

_PHONE = "+49 89 {:07d}"


def new_account(beat: Beat) -> list[str]:
    """Sales types in a firm that it did not know, though SAP or the bureau may."""
    known = set(beat.world.account_firm.tolist())
    unknown = [firm for firm in range(len(beat.world.firms)) if firm not in known]
    if not unknown:
        return []
    firm = np.array([unknown[int(beat.rng.integers(len(unknown)))]])
    number = beat.store.next_number(sf.ACCOUNT.table)
    customer = np.isin(firm, beat.world.partner_firm)
    rows = crm.accounts(beat.rng, beat.world, firm, customer, number, beat.now, beat.now)
    beat.truth.identify("salesforce", sf.record_id("Account", number), int(firm[0]))
    beat.world.account_firm = np.append(beat.world.account_firm, firm)
    beat.insert(sf.ACCOUNT, rows)
    return [f"account {rows.texts('Name')[0]} created"]


def edit_account(beat: Beat) -> list[str]:
    """Somebody corrects an account's phone number."""
    account = beat.pick(sf.ACCOUNT)
    if account is None:
        return []
    beat.update(sf.ACCOUNT, account, Phone=_PHONE.format(int(beat.rng.integers(10**7))))
    return [f"account {account['Name']} has another phone number"]


def new_contact(beat: Beat) -> list[str]:
    """A new person at an account."""
    found = _account(beat)
    if found is None:
        return []
    account, name, firm = found
    rows = crm.contacts(beat.rng, beat.world, [account], firm, beat.store.next_number(sf.CONTACT.table), beat.now, beat.now)
    beat.insert(sf.CONTACT, rows)
    return [f"contact {rows.texts('Name')[0]} at {name} created"]


def edit_contact(beat: Beat) -> list[str]:
    """A person has another mobile phone."""
    contact = beat.pick(sf.CONTACT)
    if contact is None:
        return []
    beat.update(sf.CONTACT, contact, MobilePhone=_PHONE.format(int(beat.rng.integers(10**7))))
    return [f"contact {contact['Name']} has another mobile phone"]


def delete_contact(beat: Beat) -> list[str]:
    """A person left; their cases lose the name."""
    contact = beat.pick(sf.CONTACT)
    if contact is None:
        return []
    for case in beat.find(sf.CASE, "ContactId = ?", [contact["Id"]]):
        beat.update(sf.CASE, case, ContactId=None)
    beat.delete(sf.CONTACT, contact)
    return [f"contact {contact['Name']} deleted"]


def new_opportunity(beat: Beat) -> list[str]:
    """A chance to sell."""
    found = _account(beat)
    if found is None:
        return []
    account, name, firm = found
    number = beat.store.next_number(sf.OPPORTUNITY.table)
    stages = np.array([int(beat.rng.integers(0, 2))])
    rows = crm.opportunities(beat.rng, beat.world, [account], firm, [name], number, beat.now, beat.seconds, stages)
    beat.insert(sf.OPPORTUNITY, rows)
    return [f"opportunity {rows.texts('Name')[0]} opened"]


def advance_opportunity(beat: Beat) -> list[str]:
    """A deal moves one stage on, or is lost."""
    deal = beat.pick(sf.OPPORTUNITY, "IsClosed = 0")
    if deal is None:
        return []
    place = sf.STAGES.index(str(deal["StageName"])) if deal["StageName"] in sf.STAGES else 0
    following = 6 if beat.rng.random() < 0.2 else min(place + 1, 5)
    values = crm.stage(following)
    hundredths = int(str(deal["Amount"] or "0.00").replace(".", "")) * int(str(values["Probability"])) // 100
    expected = f"{hundredths // 100}.{hundredths % 100:02d}"
    closing = {"CloseDate": beat.today} if values["IsClosed"] else {}
    beat.update(sf.OPPORTUNITY, deal, ExpectedRevenue=expected, **values, **closing)
    return [f"opportunity {deal['Name']}: {values['StageName']}"]


def new_case(beat: Beat) -> list[str]:
    """A customer calls support; those in trouble with us call more often."""
    found = max((found for _ in range(3) if (found := _account(beat))), key=lambda it: _trouble(beat, it[2]), default=None)
    if found is None:
        return []
    account, name, firm = found
    people = beat.find(sf.CONTACT, "AccountId = ?", [account])
    person = str(people[int(beat.rng.integers(len(people)))]["Id"]) if people else None
    number = beat.store.next_number(sf.CASE.table)
    rows = crm.cases(beat.rng, [account], [person], beat.world.firms.trouble[firm], number, beat.now, beat.seconds)
    beat.insert(sf.CASE, rows)
    return [f"case {rows.texts('CaseNumber')[0]} from {name}: {rows.texts('Subject')[0]}"]


def advance_case(beat: Beat) -> list[str]:
    """Support works on a case, escalates it, or closes it."""
    case = beat.pick(sf.CASE, "IsClosed = 0")
    if case is None:
        return []
    drawn = beat.rng.random()
    if case["Status"] == "New":
        beat.update(sf.CASE, case, Status="Working")
    elif drawn < 0.15 and not case["IsEscalated"]:
        beat.update(sf.CASE, case, Status="Escalated", IsEscalated=1, Priority="High")
    else:
        beat.update(sf.CASE, case, Status="Closed", IsClosed=1, ClosedDate=timestamp(beat.at))
    return [f"case {case['CaseNumber']} moved on"]


def delete_case(beat: Beat) -> list[str]:
    """A case that was a mistake is deleted."""
    return _delete(beat, sf.CASE, "CaseNumber")


def delete_opportunity(beat: Beat) -> list[str]:
    """An opportunity that was a mistake is deleted."""
    return _delete(beat, sf.OPPORTUNITY, "Name")


def delete_account(beat: Beat) -> list[str]:
    """An account without deals and cases is deleted, with its people."""
    children = (
        f"SELECT 1 FROM {entity.table} AS child WHERE child.AccountId = {sf.ACCOUNT.table}.Id" for entity in (sf.OPPORTUNITY, sf.CASE)
    )
    unused = " AND ".join(f"NOT EXISTS ({child})" for child in children)
    account = beat.pick(sf.ACCOUNT, unused)
    if account is None:
        return []
    for contact in beat.find(sf.CONTACT, "AccountId = ?", [account["Id"]]):
        beat.delete(sf.CONTACT, contact)
    beat.delete(sf.ACCOUNT, account)
    return [f"account {account['Name']} deleted"]


def _delete(beat: Beat, entity: Entity, named: str) -> list[str]:
    row = beat.pick(entity)
    if row is None:
        return []
    beat.delete(entity, row)
    return [f"{entity.name.lower()} {row[named]} deleted"]


def _account(beat: Beat) -> tuple[str, str, Array] | None:
    """An account whose firm is known to us: its Id, its name, and the firm as a column of one."""
    account = beat.pick(sf.ACCOUNT)
    firm = beat.truth.firm_of("salesforce", str(account["Id"])) if account else None
    return None if account is None or firm is None else (str(account["Id"]), str(account["Name"]), np.array([firm]))


def _trouble(beat: Beat, firm: Array) -> float:
    return float(beat.world.firms.trouble[firm][0])
