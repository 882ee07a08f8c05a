{%- set touched %}
    select company, fiscal_year, document, line from {{ changed('stg_s4__journal_item') }}
    union all
    select payment.company, payment.fiscal_year, payment.document, payment.line
    from {{ changed('stg_s4__journal_item') }} as owed
    inner join {{ ref('stg_s4__journal_item') }} as payment on owed.invoice_id = payment.invoice_id
    union all
    select journal.company, journal.fiscal_year, journal.document, journal.line
    from {{ ref('stg_s4__journal_item') }} as journal
    inner join {{ changed('int_firm_member') }} as member on member.source = 's4' and journal.customer_id = member.record_id
    union all
    select journal.company, journal.fiscal_year, journal.document, journal.line
    from {{ ref('stg_s4__journal_item') }} as journal
    inner join {{ changed('int_exchange_rate') }} as rate on journal.company_currency = rate.currency and journal.posted_on = rate.day
{%- endset %}

with payment as (
    select * from {{ ref('stg_s4__journal_item') }}
    where account_type = 'D' and document_type = 'DZ'
        and {{ touched_alone(['company', 'fiscal_year', 'document', 'line'], touched) }}
),

owed as (
    select invoice_id, max(due_on) as due_on, {{ any_synthetic('_synthetic') }} as _synthetic
    from {{ ref('stg_s4__journal_item') }}
    where account_type = 'D' and document_type = 'RV' and {{ needed_by('payment', 'invoice_id') }}
    group by invoice_id
)

select
    payment.company,
    payment.fiscal_year,
    payment.document,
    payment.line,
    coalesce(customer.firm_id, 's4:' || payment.customer_id) as firm_id,
    payment.customer_id,
    payment.invoice_id,
    payment.order_id,
    payment.posted_on as paid_on,
    owed.due_on,
    cast({{ dbt.datediff('owed.due_on', 'payment.posted_on', 'day') }} as bigint) as days_late,
    payment.currency,
    cast(-payment.amount as decimal(18, 3)) as amount,
    {{ in_euros('-payment.company_amount', 'payment.company_currency', 'rate.per_eur') }} as amount_eur,
    (
        payment._synthetic or coalesce(owed._synthetic, false) or coalesce(customer._synthetic, false)
        or coalesce(rate._synthetic, false)
    ) as _synthetic
from payment
left join owed
    on payment.invoice_id = owed.invoice_id
left join {{ ref('int_customer_firm') }} as customer
    on payment.customer_id = customer.customer_id
left join {{ ref('int_exchange_rate') }} as rate
    on payment.company_currency = rate.currency and payment.posted_on = rate.day
