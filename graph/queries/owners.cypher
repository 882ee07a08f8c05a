// Who stands above a firm: its owners, theirs, and so on, five steps up.
// parameter firm: text -- id of the firm
// column id: text -- the owner
// column name: text -- its name
// column steps: integer -- 1 owns it at once, 2 through one other firm
MATCH p = (f:Firm {id: $firm})<-[:OWNS*1..5]-(above:Firm)
RETURN above.id AS id, above.name AS name, min(length(p)) AS steps
ORDER BY steps, id
