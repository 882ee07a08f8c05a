// What a firm and everything that it owns owe, firm by firm.
// parameter firm: text -- id of the firm at the top
// column id: text -- a firm that owes
// column name: text -- its name
// column invoices: integer -- open invoices
// column open_eur: number -- what they come to
MATCH (f:Firm {id: $firm})-[:OWNS*0..5]->(member:Firm)
WITH DISTINCT member
MATCH (member)-[:OWES]->(i:Invoice {is_open: true})
RETURN member.id AS id, member.name AS name, count(i) AS invoices, round(sum(i.owed_eur) * 100) / 100 AS open_eur
ORDER BY open_eur DESC, id
