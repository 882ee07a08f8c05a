// Firms whose open invoices were due before a day, those that owe most first.
// parameter day: date -- due before this day
// parameter limit: integer = 10 -- how many firms
// column id: text -- the firm
// column name: text -- its name
// column invoices: integer -- open invoices that were due
// column overdue_eur: number -- what they come to
MATCH (i:Invoice {is_open: true})<-[:OWES]-(f:Firm)
WHERE i.due_on < $day
RETURN f.id AS id, f.name AS name, count(i) AS invoices, round(sum(i.owed_eur) * 100) / 100 AS overdue_eur
ORDER BY overdue_eur DESC, id
LIMIT $limit
