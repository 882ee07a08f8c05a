// All firms of a group: whatever hangs together with a firm by ownership, up or down, in at most six steps.
// parameter firm: text -- id of any firm of the group
// column id: text -- a firm of the group
// column name: text -- its name
// column rating: text? -- its newest grade
MATCH (f:Firm {id: $firm})-[:OWNS*0..6]-(member:Firm)
RETURN DISTINCT member.id AS id, member.name AS name, member.rating_grade AS rating
ORDER BY id
