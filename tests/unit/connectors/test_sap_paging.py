"""From an OData page to the next, addresses, literals, and deletions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.http.exchange import Request, Response, walk
from connectors.sap.metadata import EntityShape, Property
from connectors.sap.page import ODataPage, joined
from connectors.sap.pager import NextLink, Reached, SkipTop
from connectors.sap.query import address, literal, option, resolved, with_option
from connectors.sap.tombstones import deleted_rows
from pilothouse.kernel.errors import SourceContractChanged

SET = "sap/opu/odata/sap/API_X;v=0002/A_Orders"
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


def page(rows: int = 1, next_link: str | None = None) -> ODataPage:
    return ODataPage(response=Response(status=200, headers={}, body=b"", url="u"), count=rows, next_link=next_link, rows=[])


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("A_Orders?$skiptoken=5", f"{SET}?$skiptoken=5"),
        ("?$skiptoken=5", f"{SET}?$skiptoken=5"),
        (f"http://inner.corp:8000/{SET}?$skiptoken='a b'&x=%2F", f"{SET}?$skiptoken='a b'&x=%2F"),
        (f"https://inner.corp/some/prefix/{SET}?$skiptoken=5", f"{SET}?$skiptoken=5"),
        (f"/{SET}?$skiptoken=5", f"{SET}?$skiptoken=5"),
        ("A_Orders?$filter=At%20ge%2010:00&$skiptoken=5", f"{SET}?$filter=At%20ge%2010:00&$skiptoken=5"),
        ("/elsewhere/A_Orders?$skiptoken=5", "/elsewhere/A_Orders?$skiptoken=5"),
    ],
)
def test_a_next_link_leads_below_our_own_base_however_it_is_written(link: str, expected: str) -> None:
    request = NextLink().next(Request(url=f"{SET}?$top=5", headers={"Prefer": "x"}), page(next_link=link))
    assert request == Request(url=expected, headers={"Prefer": "x"})


def test_no_link_is_the_end() -> None:
    assert NextLink().next(Request(url=SET), page()) is None


@pytest.mark.parametrize("link", ["A_Orders?$skiptoken=5", f"http://other/{SET}?$skiptoken=5", "?$skiptoken=5"])
def test_a_link_to_itself_is_a_changed_contract(link: str) -> None:
    with pytest.raises(SourceContractChanged, match="points at itself"):
        NextLink().next(Request(url=f"{SET}?$skiptoken=5"), page(next_link=link))


def counted(rows: list[int], request: Request, *, cap: int, top: int) -> ODataPage:
    """What a server that holds these rows answers to a counted read, which may cap its pages."""
    skip = int(option(request.url, "$skip") or 0)
    came = rows[skip : skip + min(top, cap)]
    link = "more" if cap < top and skip + len(came) < len(rows) else None
    return joined(replace(page(len(came), link), rows=[str(row).encode() for row in came]), Reached.of(request).marks)


@given(total=st.integers(0, 60), top=st.integers(1, 20), cap=st.integers(1, 20))
def test_counting_reads_every_row_once_even_if_the_server_caps_a_page(total: int, top: int, cap: int) -> None:
    rows, first = list(range(total)), Request(url=address(SET, {"$top": str(top)}))
    pages = walk(first, SkipTop(), lambda each: counted(rows, each, cap=cap, top=top), source="s4")
    assert [int(row) for each in pages for row in each.rows] == list(range(total))


@settings(max_examples=300)
@given(total=st.integers(0, 60), top=st.integers(2, 20), fates=st.lists(st.tuples(st.integers(0, 59), st.booleans()), max_size=30))
def test_counting_misses_no_row_while_others_are_deleted_or_move_to_the_end(total: int, top: int, fates: list[tuple[int, bool]]) -> None:
    rows, waiting = list(range(total)), list(fates)
    touched: set[int] = set()

    def fetch(request: Request) -> ODataPage:
        found = counted(rows, request, cap=top, top=top)
        for row, moves in [waiting.pop() for _ in range(min(3, len(waiting)))]:  # the enterprise lives on between two pages
            if row in rows:
                touched.add(row)
                rows.remove(row)
                if moves:
                    rows.append(row + 1_000)  # as it is now
        return found

    read = [int(row) for each in walk(Request(url=address(SET, {"$top": str(top)})), SkipTop(), fetch, source="s4") for row in each.rows]
    assert set(range(total)) - touched <= set(read)


def test_a_server_that_caps_its_pages_is_not_read_from_the_beginning_for_one_deletion() -> None:
    rows, asked = list(range(1_000)), []

    def fetch(request: Request) -> ODataPage:
        asked.append(int(option(request.url, "$skip") or 0))
        if len(asked) == 50:
            rows.remove(3)
        return counted(rows, request, cap=10, top=500)

    read = {int(row) for each in walk(Request(url=address(SET, {"$top": "500"})), SkipTop(), fetch, source="s4") for row in each.rows}
    assert read == set(range(1_000))
    assert len(asked) < 120


def test_pages_that_never_hang_together_are_a_changed_contract() -> None:
    numbers = count()
    with pytest.raises(SourceContractChanged, match="do not hang together"):
        list(
            walk(
                Request(url=address(SET, {"$top": "5"})),
                SkipTop(most_returns=3),
                lambda each: counted([next(numbers) for _ in range(50)], each, cap=5, top=5),
                source="s4",
            )
        )


@given(st.dictionaries(st.sampled_from(["$filter", "$select", "x"]), TEXT, min_size=1))
def test_an_address_carries_every_text_and_no_plus_for_a_space(options: dict[str, str]) -> None:
    url = address(SET, options)
    assert dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)) == options
    assert "+" not in url
    assert " " not in url
    changed = with_option(url, "$skip", "7")
    assert (option(changed, "$skip"), option(changed, "x")) == ("7", options.get("x"))
    assert with_option(changed, "$skip", "8").count("$skip=") == 1


def test_a_resolved_link_is_resolved_to_itself() -> None:
    assert resolved(f"{SET}?a=1", f"{SET.rpartition('/')[2]}?b=2") == resolved(SET, f"https://h/{SET}?b=2") == f"{SET}?b=2"


@pytest.mark.parametrize(
    ("edm", "day", "version", "expected"),
    [
        ("Edm.DateTime", False, 2, "datetime'2024-03-01T10:20:30.500000'"),
        ("Edm.DateTime", True, 2, "datetime'2024-03-01T00:00:00'"),
        ("Edm.DateTimeOffset", False, 2, "datetimeoffset'2024-03-01T10:20:30.500000Z'"),
        ("Edm.DateTimeOffset", False, 4, "2024-03-01T10:20:30.500000Z"),
        ("Edm.Date", False, 4, "2024-03-01"),
    ],
)
def test_a_moment_is_written_as_its_type_and_version_want_it(edm: str, day: bool, version: int, expected: str) -> None:
    moment = datetime(2024, 3, 1, 10, 20, 30, 500_000, tzinfo=UTC)
    assert literal(moment, Property(name="At", edm=edm, day=day), version, where="w") == expected


def test_a_field_that_tells_no_time_is_no_cursor() -> None:
    with pytest.raises(SourceContractChanged, match=r"s4 / x: At is of type Edm\.String\(8\)"):
        literal(datetime(2024, 1, 1, tzinfo=UTC), Property(name="At", edm="Edm.String", length=8), 2, where="s4 / x")


# -- deletions -------------------------------------------------------------------------------------------------------

ITEM = EntityShape(
    name="Item",
    properties=(Property(name="Order", edm="Edm.String"), Property(name="Item", edm="Edm.Int32"), Property(name="x", edm="Edm.String")),
)


@pytest.mark.parametrize(
    "deletion",
    [
        b'{"@removed":{"reason":"deleted"},"Order":"7","Item":10}',
        b'{"@removed":{"reason":"deleted"},"@id":"Item(Order=\'7\',Item=10)"}',
        b'{"@odata.context":"#Item/$deletedEntity","id":"http://h/srv/Item(Item=10L,Order=\'7\')","reason":"deleted"}',
        b'{"@odata.context":"$metadata#Item/$deletedEntity","id":"https://h/srv;v=2/Item(Order=%277%27,Item=10)"}',
    ],
)
def test_a_deletion_tells_its_key_in_every_dialect(deletion: bytes) -> None:
    table = deleted_rows([deletion], ITEM, ("Order", "Item"), where="w")
    assert table.to_pylist() == [{"Order": "7", "Item": 10, "_changed_at": None}]
    assert str(table.schema.field("_changed_at").type) == "timestamp[us, tz=UTC]"


@given(order=TEXT, item=st.integers(-(2**31), 2**31 - 1), escaped=st.booleans())
def test_any_key_survives_being_written_into_an_address(order: str, item: int, escaped: bool) -> None:
    from json import dumps
    from urllib.parse import quote

    text = order.replace("'", "''")
    # A percent sign or a slash must be escaped in an address; a server may escape more.
    inside = quote(text) if escaped else text.replace("%", "%25").replace("/", "%2F")
    deletion = dumps({"@removed": {}, "@id": f"Item(Order='{inside}',Item={item})"}).encode()
    assert deleted_rows([deletion], ITEM, ("Order", "Item"), where="w").to_pylist()[0] == {
        "Order": order,
        "Item": item,
        "_changed_at": None,
    }


def test_a_single_key_needs_no_name() -> None:
    shape = EntityShape(name="T", properties=(Property(name="Id", edm="Edm.Guid"),))
    table = deleted_rows([b'{"@removed":{},"@id":"T(guid\'0050568c-a1ef-1ed6-b0a5-000000000001\')"}'], shape, ("Id",), where="w")
    assert table.column("Id").to_pylist() == ["0050568c-a1ef-1ed6-b0a5-000000000001"]


@pytest.mark.parametrize(
    "deletion", [b'{"@removed":{}}', b'{"@removed":{},"@id":"Item(Order=\'7\')"}', b'{"@removed":{},"Order":"7","Item":"ten"}', b"7"]
)
def test_a_deletion_without_a_key_is_a_changed_contract(deletion: bytes) -> None:
    with pytest.raises(SourceContractChanged, match="s4 / item: a deletion does not tell the key"):
        deleted_rows([deletion], ITEM, ("Order", "Item"), where="s4 / item")
