"""What happens to master data and in the warehouse: customers come, move and go; products change; the bureau rates anew."""

from __future__ import annotations

import numpy as np

from pilothouse.sandbox.company import bureau, masters, sap, warehouse
from pilothouse.sandbox.company.beat import Beat
from pilothouse.sandbox.company.columns import dates
from pilothouse.sandbox.company.numbering import new_key
from pilothouse.sandbox.company.rates import CODES, STEP, Rates
from pilothouse.sandbox.company.sales import FIRST_PRODUCT, product_number
from pilothouse.sandbox.company.store import Store, timestamp
from pilothouse.sandbox.company.world import DAY

_MONTH = "datetime64[M]"


def new_partner(beat: Beat) -> list[str]:
    """A prospect of sales becomes a customer in SAP."""
    world = beat.world
    customers = set(world.partner_firm.tolist())
    prospects = [firm for firm in dict.fromkeys(world.account_firm.tolist()) if firm not in customers]
    if not prospects:
        return []
    firm = prospects[int(beat.rng.integers(len(prospects)))]
    number, name, today = new_key(beat.store, sap.BUSINESS_PARTNER), world.firms.name[firm], beat.seconds // DAY
    beat.truth.add_partner(number, firm, name, today)
    place = world.add_partner(number, firm, name, today)
    rows = masters.partners(beat.rng, world, np.array([place]), beat.seconds)
    entities = (sap.BUSINESS_PARTNER, sap.BUSINESS_PARTNER_ADDRESS, sap.BUSINESS_PARTNER_TAX_NUMBER)
    for entity, columns in zip(entities, rows, strict=True):
        beat.insert(entity, columns)
    return [f"business partner {number} created: {name}"]


def edit_partner(beat: Beat) -> list[str]:
    """Somebody tends a business partner: another search term."""
    partner = beat.pick(sap.BUSINESS_PARTNER)
    if partner is None:
        return []
    words = str(partner["BusinessPartnerFullName"]).upper().split()
    beat.update(sap.BUSINESS_PARTNER, partner, SearchTerm1=beat.one_of(words)[:20], LastChangedByUser="MDM_BATCH")
    return [f"business partner {partner['BusinessPartner']} has another search term"]


def move_partner(beat: Beat) -> list[str]:
    """A customer moves to another street in its town."""
    partner = beat.pick(sap.BUSINESS_PARTNER)
    number = partner["BusinessPartner"] if partner else None
    addresses = beat.find(sap.BUSINESS_PARTNER_ADDRESS, "BusinessPartner = ?", [number])
    firm = beat.truth.firm_of("sap", str(number))
    if partner is None or not addresses or firm is None:
        return []
    street = beat.one_of(beat.world.firms.country_of(firm).streets)
    beat.update(sap.BUSINESS_PARTNER_ADDRESS, addresses[0], StreetName=street, HouseNumber=str(int(beat.rng.integers(1, 180))))
    beat.update(sap.BUSINESS_PARTNER, partner)
    return [f"business partner {number} moved to {street}"]


def correct_tax_number(beat: Beat) -> list[str]:
    """A tax number is found out, or struck because it was wrong."""
    partner = beat.pick(sap.BUSINESS_PARTNER)
    if partner is None:
        return []
    number = partner["BusinessPartner"]
    held = beat.find(sap.BUSINESS_PARTNER_TAX_NUMBER, "BusinessPartner = ?", [number])
    firm = beat.truth.firm_of("sap", str(number))
    if held:
        beat.delete(sap.BUSINESS_PARTNER_TAX_NUMBER, held[0])
    elif firm is not None:
        code = beat.world.firms.country_of(firm).code
        kind = "US1" if code == "US" else f"{code}0"
        row = {"BusinessPartner": number, "BPTaxType": kind, "BPTaxNumber": beat.world.firms.tax_number[firm], "BPTaxLongNumber": ""}
        beat.store.insert(sap.BUSINESS_PARTNER_TAX_NUMBER, row, beat.at)
    beat.update(sap.BUSINESS_PARTNER, partner)
    return [f"business partner {number}: tax number {'struck' if held else 'added'}"]


def delete_partner(beat: Beat) -> list[str]:
    """A business partner that never ordered is deleted, with its address and tax number."""
    unused = "NOT EXISTS (SELECT 1 FROM sap_SalesOrder WHERE SoldToParty = BusinessPartner)"
    unused += " AND NOT EXISTS (SELECT 1 FROM sap_SalesOrderPartner AS role WHERE role.Customer = BusinessPartner)"
    partner = beat.pick(sap.BUSINESS_PARTNER, unused)
    if partner is None:
        return []
    for entity in (sap.BUSINESS_PARTNER_ADDRESS, sap.BUSINESS_PARTNER_TAX_NUMBER):
        for row in beat.find(entity, "BusinessPartner = ?", [partner["BusinessPartner"]]):
            beat.delete(entity, row)
    beat.delete(sap.BUSINESS_PARTNER, partner)
    beat.truth.drop_partner(str(partner["BusinessPartner"]))
    beat.world.drop_partner(str(partner["BusinessPartner"]))
    return [f"business partner {partner['BusinessPartner']} deleted"]


def edit_product(beat: Beat) -> list[str]:
    """Engineering weighs a product anew."""
    product = beat.pick(sap.PRODUCT)
    if product is None:
        return []
    grams = max(1.0, float(str(product["NetWeight"] or 1)) * float(beat.rng.uniform(0.95, 1.05)))
    beat.update(sap.PRODUCT, product, NetWeight=f"{grams:.3f}", GrossWeight=f"{grams * 1.08:.3f}", LastChangedByUser="ENGINEERING")
    return [f"product {product['Product']} weighed anew"]


def new_product(beat: Beat) -> list[str]:
    """A product is announced; it is not yet for sale."""
    number = new_key(beat.store, sap.PRODUCT)
    place = int(beat.rng.integers(len(beat.world.price)))
    row = next(masters.products(beat.rng, beat.world, np.array([place]), beat.seconds).rows())
    moment = timestamp(beat.at)
    ean = masters.ean13(int(number.removeprefix("FG-")))
    row |= {"Product": number, "CreationDateTime": moment, "LastChangeDateTime": moment, "ProductStandardID": ean, "ProductOldID": ""}
    beat.store.insert(sap.PRODUCT, row, beat.at)
    return [f"product {number} announced"]


def withdraw_product(beat: Beat) -> list[str]:
    """A product that was announced but never sold is deleted."""
    last = product_number(len(beat.world.price) - 1)
    announced = beat.find(sap.PRODUCT, "Product > ? AND length(Product) >= ?", [last, len(last)], limit=1)
    sold = announced and beat.find(sap.SALES_ORDER_ITEM, "Product = ?", [announced[0]["Product"]], limit=1)
    if not announced or sold or int(str(announced[0]["Product"]).removeprefix("FG-")) < FIRST_PRODUCT:
        return []
    beat.delete(sap.PRODUCT, announced[0])
    return [f"product {announced[0]['Product']} withdrawn"]


def rate_anew(beat: Beat) -> list[str]:
    """The bureau rates a firm; the rating it had is no longer current."""
    firm = beat.world.bureau_firm[[int(beat.rng.integers(len(beat.world.bureau_firm)))]]
    bureau_id = beat.world.bureau_numbers[int(firm[0])]
    for old in beat.find(warehouse.CREDIT_RATING, "bureau_id = ? AND is_current = 1", [bureau_id]):
        beat.update(warehouse.CREDIT_RATING, old, is_current=0)
    number, day = beat.store.next_number(warehouse.CREDIT_RATING.table), beat.now // DAY
    score = bureau.scores(beat.rng, beat.world, firm, day, beat.history_ends)
    row = next(bureau.ratings(beat.world, firm, score, day, np.array([True]), number, beat.rng).rows())
    beat.store.insert(warehouse.CREDIT_RATING, row | {"updated_at": timestamp(beat.at)}, beat.at)
    return [f"bureau rates {row['firm_name']} {row['rating_grade']} ({row['score']})"]


def trade_share(beat: Beat) -> list[str]:
    """An owner buys or sells a part of a firm."""
    links = beat.find(warehouse.OWNERSHIP, "1", [])
    if not links:
        return []
    link = links[int(beat.rng.integers(len(links)))]
    share = int(beat.rng.integers(5_100, 10_001))
    beat.update(warehouse.OWNERSHIP, link, share_percent=f"{share // 100}.{share % 100:02d}")
    return [f"{link['owner_name']} now holds {share / 100:.2f} % of {link['owned_name']}"]


def publish_figures(beat: Beat) -> list[str]:
    """The exchange rates of each new day and the industry figures of each new month; after a pause of days, of the last ten."""
    events = []
    known = str(next(beat.store.rows("SELECT MAX(rate_date) FROM warehouse_exchange_rate"))[0])
    latest, today = int(np.datetime64(known, "D").astype(np.int64)), beat.seconds // DAY
    table = beat.rates.table[-1]
    for day in range(max(latest + 1, today - 9), today + 1):
        table = np.round(table * np.exp(STEP * beat.rng.standard_normal(len(CODES))), 6)
        table[CODES.index("EUR")] = 1.0
        rows = bureau.exchange_rates(Rates(day, table[np.newaxis, :]))
        rows["updated_at"] = timestamp(beat.at)
        beat.insert(warehouse.EXCHANGE_RATE, rows)
        events.append(f"exchange rates of {dates(np.array([day]))[0]} published")
    month = int(np.datetime64(today, "D").astype(_MONTH).astype("datetime64[D]").astype(np.int64))
    if not beat.find(warehouse.INDUSTRY_INDEX, "month = ?", [dates(np.array([month]))[0]], limit=1):
        beat.insert(warehouse.INDUSTRY_INDEX, bureau.industry_indices(np.array([month]), beat.history_ends))
        events.append("industry figures of the month published")
    return events


def latest_rates(store: Store) -> Rates:
    """The newest exchange rates in the warehouse."""
    day = next(store.rows("SELECT MAX(rate_date) FROM warehouse_exchange_rate"))[0]
    rows = store.rows("SELECT currency, per_eur FROM warehouse_exchange_rate WHERE rate_date = ?", [day])
    found = {str(currency): float(str(rate)) for currency, rate in rows}
    return Rates(int(np.datetime64(str(day), "D").astype(np.int64)), np.array([[found.get(code, 1.0) for code in CODES]]))
