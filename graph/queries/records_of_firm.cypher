// The records that stand for a firm in SAP, in Salesforce and at the bureau, and what joins each to it.
// parameter firm: text -- id of the firm
// column record: text -- the record, as source:number
// column name: text? -- its name there
// column evidence: text -- itself, likeness, or that somebody said so
MATCH (f:Firm {id: $firm})<-[r:STANDS_FOR]-(a:Account)
RETURN a.id AS record, a.name AS name, r.evidence AS evidence
ORDER BY record
