"""The reference pages say what the code says."""

from __future__ import annotations

import pytest

from docs.generate import FOLDER, pages


@pytest.mark.parametrize("name", ["commands.md", "settings.md", "streams.md"])
def test_a_page_of_the_reference_follows_from_the_code(name: str) -> None:
    assert (FOLDER / name).read_text() == pages()[name], "say `make docs`"
