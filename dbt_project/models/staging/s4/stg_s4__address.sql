select
    BusinessPartner as partner_id,
    AddressID as address_id,
    ValidityStartDate as valid_from,
    ValidityEndDate as valid_until,
    {{ said('FullName') }} as name,
    {{ said('StreetName') }} as street,
    {{ said('HouseNumber') }} as house_number,
    {{ said('PostalCode') }} as postal_code,
    {{ said('CityName') }} as city,
    {{ said('Region') }} as region,
    Country as country,
    _first_Country as first_country,
    _row_id,
    _changed_at,
    _seen_at,
    _synthetic
from {{ current_rows('s4', 'business_partner_address', {'partner_id': 'BusinessPartner', 'address_id': 'AddressID'}, first=['Country']) }} as current_row
