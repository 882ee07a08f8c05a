"""Our resolver on data that nobody here made."""

from __future__ import annotations

import pytest

from graph.resolution.resolver import learned, links
from tests.febrl import PEOPLE, records

# Precision and recall of Splink's own EM training, with the comparisons that suit the data.
PEERS = {1: (1.0, 0.996), 2: (1.0, 0.990), 3: (1.0, 0.988), 4: (1.0, 0.997)}


@pytest.mark.parametrize("number", PEERS)
def test_people_of_febrl_are_recognised(number: int) -> None:
    rows, same = records(number)
    pairs = links(PEOPLE, learned(PEOPLE, rows), rows).to_pylist()
    found = {(row["left_id"], row["right_id"]) for row in pairs if row["probability"] >= PEOPLE.likely}
    precision, recall = len(found & same) / len(found), len(found & same) / len(same)
    assert (round(precision, 3), round(recall, 3)) >= PEERS[number]
