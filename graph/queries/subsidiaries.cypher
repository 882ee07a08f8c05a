// What a firm owns: its subsidiaries, theirs, and so on, five steps down.
// parameter firm: text -- id of the firm
// column id: text -- the owned firm
// column name: text -- its name
// column steps: integer -- 1 is owned at once, 2 through one other firm
MATCH p = (f:Firm {id: $firm})-[:OWNS*1..5]->(below:Firm)
RETURN below.id AS id, below.name AS name, min(length(p)) AS steps
ORDER BY steps, id
