{#- A firm as one system knows it, and what joins that record to the firm. -#}
select
    party.source || ':' || party.record_id as account_id,
    party.source,
    party.record_id,
    member.firm_id,
    party.name,
    party.street,
    party.postal_code,
    party.city,
    party.country,
    party.tax_number,
    party.industry,
    party.phone,
    party.website,
    party.known_since,
    member.evidence,
    member.weight,
    (party._synthetic or member._synthetic) as _synthetic
from {{ ref('int_party') }} as party
inner join {{ ref('int_firm_member') }} as member
    on party.source = member.source and party.record_id = member.record_id
where {{ asked_for("party.source || ':' || party.record_id", 'account_id') }}
