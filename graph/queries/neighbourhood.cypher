// What stands around a firm: how many nodes by each type of edge.
// parameter firm: text -- id of the firm, such as s4:10100001
// column edge: text -- type of the edge
// column nodes: integer -- how many there are
MATCH (f:Firm {id: $firm})-[r:OWNS|PLACED|OWES|MADE|OPENED|CONSIDERS|WORKS_FOR|STANDS_FOR|LOCATED_IN|BELONGS_TO]-(n)
RETURN type(r) AS edge, count(n) AS nodes
ORDER BY edge
