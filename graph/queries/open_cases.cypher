// Cases of a firm that are not closed, the newest first, and who reported them.
// parameter firm: text -- id of the firm
// column number: text -- number of the case
// column subject: text? -- what it is about
// column priority: text? -- Low, Medium, High
// column opened: moment -- since when
// column contact: text? -- who reported it
MATCH (f:Firm {id: $firm})-[:OPENED]->(c:Case)
WHERE NOT c.is_closed
OPTIONAL MATCH (c)<-[:REPORTED]-(who:Contact)
RETURN c.case_number AS number, c.subject AS subject, c.priority AS priority, c.opened_at AS opened, who.name AS contact
ORDER BY opened DESC, number
