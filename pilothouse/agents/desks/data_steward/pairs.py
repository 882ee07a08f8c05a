"""Two records that may be one firm: a word about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from pilothouse.agents.desks.data_steward.matter import Matter, Told, Write
from pilothouse.agents.toolset.stewardship.pairs import LINKS, MEMBERS, PAIR_OF_RECORDS, PARTIES, SAID, OfPair, doubtful

# What likeness compares, in the order in which it is told, and which part of a record shows it. An order of our own: that of what a
# tool answered is not kept.
_COMPARED: Final = {"name": "name", "tax_number": "tax_number", "street": "street", "place": "city", "industry": ""}
_VERDICTS: Final = {"split": "different", "keep_apart": "different", "confirm": "same", "merge": "same"}
_APART: Final = {True: ("split", "confirm"), False: ("merge", "keep_apart")}  # what can be said of a pair that is, or is not, one firm


class Pairs(Matter[OfPair]):
    """Whether two records are one firm."""

    asked = OfPair
    tool = PAIR_OF_RECORDS
    tables = (LINKS, MEMBERS, PARTIES, SAID)
    find = staticmethod(doubtful)
    writes: ClassVar = {action: {"verdict": verdict} for action, verdict in _VERDICTS.items()}

    def about(self, asked: OfPair) -> str:
        """Both records."""
        return f"{asked.left} and {asked.right}"

    def facts(self, told: Told) -> Mapping[str, Any]:
        """How they compare, and what was said."""
        compared = {f"pair.{name}": told["evidence"].get(name) for name in ("name", "tax_number", "place")}
        return {
            **compared,
            "pair.together": told["together"],
            "pair.said": told["said"],
            "pair.probability": round(told["probability"], 4),
        }

    def shown(self, asked: OfPair, told: Told) -> Mapping[str, Any]:
        """The records as they are written."""
        records = [{"record": getattr(asked, side), **told[side]} for side in ("left", "right")]
        return {"probability": told["probability"], "records": records}

    def reasons(self, asked: OfPair, told: Told) -> Iterator[str]:  # noqa: ARG002 - a matter's signature
        """Likeness, and what it compares."""
        yield f"Likeness makes it {told['probability']:.2%} likely that they are one firm"
        for name, shown in _COMPARED.items():
            if name in told["evidence"]:
                written = " | ".join(told[side].get(shown) or "-" for side in ("left", "right"))
                yield f"{name.replace('_', ' ').capitalize()}: {told['evidence'][name]}" + (f" ({written})" if shown else "")

    def write(self, action: str, asked: OfPair, told: Told) -> Write | None:
        """A word about the pair, where it can be said of it as it stands."""
        if action not in _APART[told["together"]]:
            return None
        values, seen = {"verdict": _VERDICTS[action]}, {"verdict": told["said"] or ""}
        return Write(record="firm_pair", identity=asked.model_dump(), values=values, seen=seen) if values != seen else None
