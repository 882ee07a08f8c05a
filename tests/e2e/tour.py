"""The commands of docs/tour.md, taken out of the page in their order, with the ids of a run in place of those that the page shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "tour.md"
_BLOCK: Final = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_IDS: Final = re.compile(r"^\| `(\w+)` \| (.+?) \|", re.MULTILINE)


def shown() -> dict[str, str]:
    """What the page says of the ids that it shows: meaning to id."""
    return {meaning: identity for identity, meaning in _IDS.findall(PAGE.read_text())}


def commands(ids: Mapping[str, str]) -> Iterator[list[str]]:
    """Each command's arguments; `ids` are those of this run, by the same meanings."""
    put = {identity: ids[meaning] for meaning, identity in shown().items()}
    for block in _BLOCK.findall(PAGE.read_text()):
        for line in block.splitlines():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "pilothouse", line
            yield [re.sub("|".join(put), lambda found: put[found[0]], each) for each in arguments]
