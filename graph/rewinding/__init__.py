"""The same Cypher, asked of the past: `rewound` gives the text that reads what was known, and held, at a moment.

    MATCH (f:Firm {id: $firm})-[:OWES]->(i:Invoice) WHERE i.is_open RETURN i.id, i.owed_eur

Analysts write for what is there now. Here each pattern is widened to edges and nodes of the past, those that do not belong to the
moment are filtered out, and each variable is bound to what its node said then. What cannot be said exactly in this way is refused,
never answered by half: a wrong past is worse than none.
"""

from graph.rewinding.rewrite import rewound
from graph.rewinding.states import KNOWN, VALID

__all__ = ["KNOWN", "VALID", "rewound"]
