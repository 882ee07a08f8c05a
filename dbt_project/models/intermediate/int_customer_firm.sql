{#- The firm behind each customer number of SAP. -#}
select record_id as customer_id, firm_id, _synthetic
from {{ ref('int_firm_member') }}
where source = 's4'
