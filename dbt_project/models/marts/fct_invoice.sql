{%- set touched %}
    select invoice_id from {{ changed('stg_s4__invoice') }}
    union all
    select invoice_id from {{ changed('stg_s4__journal_item') }} where invoice_id is not null
    union all
    select invoice.invoice_id
    from {{ ref('stg_s4__invoice') }} as invoice
    inner join {{ changed('int_firm_member') }} as member on member.source = 's4' and invoice.customer_id = member.record_id
    union all
    select journal.invoice_id
    from {{ ref('stg_s4__journal_item') }} as journal
    inner join {{ changed('int_exchange_rate') }} as rate on journal.company_currency = rate.currency and journal.posted_on = rate.day
    where journal.invoice_id is not null
{%- endset %}

with invoice as (
    select * from {{ ref('stg_s4__invoice') }}
    where {{ touched_alone(['invoice_id'], touched) }}
),

-- The customer's lines: what is owed by the invoice, and what has been paid.
line as (
    select
        journal.invoice_id,
        journal.order_id,
        journal.document_type,
        journal.due_on,
        journal.posted_on,
        journal.is_cleared,
        journal.cleared_on,
        {{ in_euros('journal.company_amount', 'journal.company_currency', 'rate.per_eur') }} as amount_eur,
        (journal._synthetic or coalesce(rate._synthetic, false)) as _synthetic
    from {{ ref('stg_s4__journal_item') }} as journal
    left join {{ ref('int_exchange_rate') }} as rate
        on journal.company_currency = rate.currency and journal.posted_on = rate.day
    where journal.account_type = 'D' and {{ needed_by('invoice', 'journal.invoice_id') }}
),

owed as (
    select
        invoice_id,
        max(order_id) as order_id,
        max(due_on) as due_on,
        max(cleared_on) as paid_on,
        cast(sum(amount_eur) as decimal(18, 2)) as owed_eur,
        {{ any_synthetic('_synthetic') }} as _synthetic
    from line
    where document_type = 'RV'
    group by invoice_id
),

paid as (
    select
        invoice_id,
        cast(-sum(amount_eur) as decimal(18, 2)) as paid_eur,
        {{ any_synthetic('_synthetic') }} as _synthetic
    from line
    where document_type = 'DZ'
    group by invoice_id
)

select
    invoice.invoice_id,
    owed.order_id,
    coalesce(customer.firm_id, 's4:' || invoice.customer_id) as firm_id,
    invoice.customer_id,
    invoice.payer_id,
    invoice.invoiced_on,
    owed.due_on,
    invoice.currency,
    invoice.net_amount,
    invoice.tax_amount,
    invoice.gross_amount,
    owed.owed_eur,
    coalesce(paid.paid_eur, 0) as paid_eur,
    owed.paid_on,
    cast({{ dbt.datediff('owed.due_on', 'owed.paid_on', 'day') }} as bigint) as days_late,
    (owed.paid_on is null) as is_open,
    invoice.is_cancelled,
    invoice.payment_terms,
    (
        invoice._synthetic or coalesce(owed._synthetic, false) or coalesce(paid._synthetic, false)
        or coalesce(customer._synthetic, false)
    ) as _synthetic
from invoice
left join owed
    on invoice.invoice_id = owed.invoice_id
left join paid
    on invoice.invoice_id = paid.invoice_id
left join {{ ref('int_customer_firm') }} as customer
    on invoice.customer_id = customer.customer_id
