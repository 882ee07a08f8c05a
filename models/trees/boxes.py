"""Boxes: the inputs that meet several conditions at once, one set of values for each input that is restricted.

A tree cuts the space of all inputs into boxes that do not overlap. Taking a condition from a box leaves at most one box for each
input that the condition names, so nothing is estimated: what is left of a node after its last case is its hole, exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from models.trees.sets import Values
from pilothouse.kernel.errors import ConfigError

Box: TypeAlias = Mapping[str, Values]
MOST: Final = 50_000  # boxes of one node; a tree of that many is no tree that anybody reads


def met(box: Box, condition: Box, domains: Mapping[str, Values]) -> Box | None:
    """The part of a box that meets a condition; None where none does."""
    part = dict(box)
    for name, values in condition.items():
        part[name] = part.get(name, domains[name]) & values
        if not part[name]:
            return None
    return part


def without(box: Box, condition: Box, domains: Mapping[str, Values]) -> list[Box]:
    """The part of a box that does not meet a condition, as boxes that do not overlap."""
    if met(box, condition, domains) is None:
        return [box]
    left: list[Box] = []
    rest = dict(box)
    for name, values in condition.items():
        here = rest.get(name, domains[name])
        outside = here - values
        if outside:
            left.append({**rest, name: outside})
        rest[name] = here & values
    return left


def split(region: Iterable[Box], condition: Box, domains: Mapping[str, Values], where: str) -> tuple[list[Box], list[Box]]:
    """The boxes of a region that meet a condition, and those that do not."""
    inside: list[Box] = []
    outside: list[Box] = []
    for box in region:
        part = met(box, condition, domains)
        if part is None:
            outside.append(box)
            continue
        inside.append(part)
        outside += without(box, condition, domains)
        if len(outside) > MOST:
            raise ConfigError(
                f"{where}: its cases cut the inputs into more than {MOST:,} parts, too many to prove that none is forgotten",
                hint="ask fewer inputs in one node, or put an `otherwise` earlier: one question after the other keeps parts few",
            )
    return inside, outside
