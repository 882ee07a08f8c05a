// Firms that order a product, those that order it most often first.
// parameter product: text -- id of the product
// parameter limit: integer = 10 -- how many firms
// column id: text -- the firm
// column name: text -- its name
// column orders: integer -- orders of it
MATCH (p:Product {id: $product})<-[:IS_FOR]-(:Item)<-[:CONTAINS]-(o:Order)<-[:PLACED]-(f:Firm)
RETURN f.id AS id, f.name AS name, count(DISTINCT o.id) AS orders
ORDER BY orders DESC, id
LIMIT $limit
