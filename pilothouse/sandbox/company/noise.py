"""How people write a firm's name and street when they type it themselves, as sales people do in a CRM.

Each way of writing has the chance seen in real customer files: legal forms vary most, real typing errors are rare.
"""

from collections.abc import Sequence

import numpy as np

_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})
_BARE = str.maketrans("äöüÄÖÜéèêóńłŁśćąężźíáýčřšžňďťů", "aouAOUeeeonlLscaezziaycrszndtu")
_SHORT = {
    "Maschinenbau": "Masch.bau",
    "technik": "techn.",
    "straße": "str.",
    "strasse": "str.",
    "Straße": "Str.",
    "Street": "St",
    "Road": "Rd",
    "Avenue": "Ave",
    "Holding": "Hldg.",
    "Machinery": "Mach.",
    "Engineering": "Eng.",
    "Construction": "Constr.",
    "Großhandel": "Großh.",
    "Industrie": "Ind.",
    "Société": "Sté",
}
_LEGAL = {
    "GmbH & Co. KG": ("GmbH + Co. KG", "GmbH & Co KG", "GmbH und Co. KG", "GmbH&Co.KG", ""),
    "GmbH & Co KG": ("GmbH & Co. KG", "GmbH und Co KG", ""),
    "GmbH": ("Gmbh", "G.m.b.H.", "GMBH", "", ""),
    "AG": ("Aktiengesellschaft", "A.G.", "", ""),
    "S.r.l.": ("Srl", "SRL", "S.R.L.", ""),
    "S.p.A.": ("SpA", "SPA", ""),
    "Sp. z o.o.": ("Sp.z o.o.", "sp. zoo", "Spółka z o.o.", ""),
    "B.V.": ("BV", "b.v.", ""),
    "s.r.o.": ("sro", "spol. s r.o.", ""),
    "Ltd": ("Limited", "Ltd.", ""),
    "Inc.": ("Inc", "Incorporated", ""),
    "Corp.": ("Corporation", "Corp", ""),
    "LLC": ("L.L.C.", ""),
    "SARL": ("S.A.R.L.", "Sarl", ""),
    "SAS": ("S.A.S.", ""),
    "SA": ("S.A.", ""),
}
DRAWS = 10


def as_typed(name: str, legal_form: str, city: str, draws: Sequence[float]) -> str:
    """The name as a hurried colleague would type it; `draws` are DRAWS uniform numbers that decide everything."""
    words = name.removesuffix(legal_form).strip() if legal_form else name
    form = legal_form
    if draws[0] < 0.5:
        variants = _LEGAL.get(legal_form, ("",))
        form = variants[int(draws[1] * len(variants))]
    if draws[2] < 0.35:
        words = words.translate(_UMLAUTS if draws[2] < 0.25 else _BARE)
    if draws[3] < 0.15:
        words = shortened(words)
    if draws[4] < 0.12:
        words = mistyped(words, draws[5])
    if draws[6] < 0.08 and " " in words:
        first, rest = words.split(" ", 1)
        words = f"{rest} {first}"
    if draws[7] < 0.06:
        words = words.upper()
    if draws[8] < 0.05:
        form = f"{form} ({city})".strip()
    if draws[9] < 0.04 and " " in words:
        words = words.rsplit(" ", 1)[0]
    return " ".join(f"{words} {form}".split())


def street_as_typed(street: str, draws: Sequence[float]) -> str:
    """The street as it is often shortened, folded or mistyped."""
    if draws[0] < 0.4:
        street = shortened(street)
    if draws[1] < 0.3:
        street = street.translate(_UMLAUTS)
    return mistyped(street, draws[3]) if draws[2] < 0.06 else street


def shortened(text: str) -> str:
    """Long words as their usual abbreviations."""
    for long, short in _SHORT.items():
        text = text.replace(long, short)
    return text


def mistyped(text: str, draw: float) -> str:
    """One slip of the finger: a letter swapped with its neighbour, left out, or doubled."""
    if len(text) < 4:
        return text
    kind, place = divmod(draw * 3, 1.0)
    at = 1 + int(place * (len(text) - 2))
    if kind < 1:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :] if kind < 2 else text[:at] + text[at] + text[at:]


def uniforms(rng: np.random.Generator, rows: int, columns: int) -> list[list[float]]:
    """A table of draws as plain floats: ten times as fast to walk through as numpy's own scalars."""
    drawn: list[list[float]] = rng.random((rows, columns)).tolist()
    return drawn
