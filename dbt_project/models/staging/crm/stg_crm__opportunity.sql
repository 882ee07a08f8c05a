select
    Id as opportunity_id,
    AccountId as account_id,
    Name as name,
    StageName as stage,
    Amount as amount,
    Probability as probability,
    CloseDate as closes_on,
    Type as opportunity_type,
    LeadSource as lead_source,
    IsClosed as is_closed,
    IsWon as is_won,
    CreatedDate as created_at,
    LastModifiedDate as changed_at,
    _row_id,
    _changed_at,
    _seen_at,
    _synthetic
from {{ current_rows('crm', 'opportunity', {'opportunity_id': 'Id'}) }} as current_row
