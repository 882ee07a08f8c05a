select
    BusinessPartner as partner_id,
    BPTaxType as tax_type,
    {{ said('BPTaxNumber') }} as tax_number,
    _row_id,
    _changed_at,
    _seen_at,
    _synthetic
from {{ current_rows('s4', 'business_partner_tax_number', {'partner_id': 'BusinessPartner', 'tax_type': 'BPTaxType'}) }} as current_row
