"""What a node said at a moment, and where a pattern begins, as text of Cypher."""

from __future__ import annotations

from typing import Final

from graph.kinds import KNOWN_FROM, KNOWN_TO, PAST, STATE, WAS
from graph.rewinding.patterns import NodePattern

KNOWN: Final = "_known"  # parameters of the rewound text
VALID: Final = "_valid"


def state(identity: str, *, optional: bool = False) -> str:
    """What a node said then: itself, where it says so since; or what it said before."""
    known = f"_s.{KNOWN_FROM} <= ${KNOWN} AND ${KNOWN} < _s.{KNOWN_TO}"
    quoted = f"`{identity}`"
    # Where an optional match found nothing there is no state: ArcadeDB would take a node that is null for any node.
    nothing = f"WHEN {quoted} IS NULL THEN null " if optional else ""
    return (
        f"CASE {nothing}WHEN {quoted}.{KNOWN_FROM} <= ${KNOWN} THEN {quoted} "
        f"ELSE head([({quoted})-[:{WAS}]->(_s:{STATE}) WHERE {known} | _s]) END"
    )


def looked_up(node: NodePattern, identity: str, sieve: str) -> str:
    """Where a pattern begins: at nodes that are there now, and at those that are not. The sieve says which of the former can matter."""
    label, named = node.label, node.id_alone
    bound = f"WITH `{named.name}` " if named and named.name else ""
    by_id, by_key = (f" {{id: {named.text}}}", f" {{_key: '{label} ' + {named.text}}}") if named else ("", "")
    now = f"{bound}MATCH ({identity}:`{label}`{by_id})" + (f" WHERE {sieve}" if sieve else "")
    past = f"{bound}MATCH ({identity}:{PAST}{by_key})" + ("" if named else f" WHERE {identity}._label = '{label}'")
    returned = f"RETURN {identity} AS {identity}"
    return f"CALL {{ {now} {returned} UNION ALL {past} {returned} }}"
