// Products that are ordered together with a product, those most often first.
// parameter product: text -- id of the product
// parameter limit: integer = 10 -- how many products
// column id: text -- the other product
// column name: text? -- its name
// column orders: integer -- orders that hold both
MATCH (p:Product {id: $product})<-[:IS_FOR]-(:Item)<-[:CONTAINS]-(o:Order)
WITH DISTINCT o
MATCH (o)-[:CONTAINS]->(:Item)-[:IS_FOR]->(other:Product)
WHERE other.id <> $product
RETURN other.id AS id, other.name AS name, count(DISTINCT o.id) AS orders
ORDER BY orders DESC, id
LIMIT $limit
