select
    Id as contact_id,
    AccountId as account_id,
    Name as name,
    FirstName as first_name,
    LastName as last_name,
    Title as title,
    Department as department,
    Email as email,
    Phone as phone,
    MobilePhone as mobile,
    HasOptedOutOfEmail as no_email,
    CreatedDate as created_at,
    LastModifiedDate as changed_at,
    _row_id,
    _changed_at,
    _seen_at,
    _synthetic
from {{ current_rows('crm', 'contact', {'contact_id': 'Id'}) }} as current_row
