"""JSON rows into Arrow: exact types, in bulk, and no row that stops a read."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from connectors.http.exchange import Response
from connectors.sap.decode import REFUSALS, PageDecoder
from connectors.sap.edm import FIRST_MS, LAST_MS, Misfit
from connectors.sap.metadata import EntityShape, Property
from connectors.sap.page import open_page
from pilothouse.kernel.errors import SourceContractChanged, SourceUnavailable
from pilothouse.kernel.streams import DEFECT

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def prop(edm: str, **facets: Any) -> Property:
    return Property(name="v", edm=f"Edm.{edm}", **facets)


def decoder(field: Property, version: int = 2) -> PageDecoder:
    return PageDecoder(EntityShape(name="Things", properties=(Property(name="k", edm="Edm.String", key=True), field)), version)


def rows(*values: Any) -> list[bytes]:
    return [
        json.dumps({"__metadata": {"uri": "x"}, "k": str(n), "v": value}, ensure_ascii=False).encode() for n, value in enumerate(values)
    ]


def ticks(when: datetime, suffix: str = "") -> str:
    return f"/Date({round((when - EPOCH) / timedelta(milliseconds=1))}{suffix})/"


MOMENTS = st.integers(FIRST_MS * 1000, LAST_MS * 1000).map(lambda us: EPOCH + timedelta(microseconds=us))
MILLIMOMENTS = st.integers(FIRST_MS, LAST_MS).map(lambda ms: EPOCH + timedelta(milliseconds=ms))
MONEY = st.decimals(-(10**12), 10**12, places=3)
TIMES = st.times().map(lambda t: t.replace(microsecond=0))
WIRES: list[tuple[str, Property, st.SearchStrategy[Any], Any]] = [
    ("String", prop("String"), st.text(st.characters(exclude_categories=["Cs"])), lambda v: v),
    ("Guid", prop("Guid"), st.uuids().map(str), lambda v: v),
    ("Boolean", prop("Boolean"), st.booleans(), lambda v: v),
    ("Int16", prop("Int16"), st.integers(-(2**15), 2**15 - 1), lambda v: v),
    ("Byte", prop("Byte"), st.integers(0, 255), lambda v: v),
    ("Int64 as text", prop("Int64"), st.integers(-(2**63), 2**63 - 1), str),
    ("Int64 bare", prop("Int64"), st.integers(-(2**63), 2**63 - 1), lambda v: v),
    ("Double as text", prop("Double"), st.floats(allow_nan=False, allow_infinity=False), repr),
    ("Double bare", prop("Double"), st.floats(allow_nan=False, allow_infinity=False), lambda v: v),
    ("Decimal as text", prop("Decimal", precision=16, scale=3), MONEY, str),
    ("DateTime", prop("DateTime"), MILLIMOMENTS, ticks),
    ("DateTime of a day", prop("DateTime", day=True), st.dates(), lambda v: ticks(datetime(v.year, v.month, v.day, tzinfo=UTC))),
    ("DateTimeOffset of V2", prop("DateTimeOffset"), MILLIMOMENTS, lambda v: ticks(v, "+0060")),
    ("DateTimeOffset of V4", prop("DateTimeOffset"), MOMENTS, lambda v: v.isoformat().replace("+00:00", "Z")),
    ("Date", prop("Date"), st.dates(), lambda v: v.isoformat()),
    ("Time", prop("Time"), TIMES, lambda v: f"PT{v.hour:02d}H{v.minute:02d}M{v.second:02d}S"),
    ("TimeOfDay", prop("TimeOfDay"), st.times(), lambda v: v.isoformat()),
    ("Binary of V2", prop("Binary"), st.binary(), lambda v: b64encode(v).decode()),
    ("Binary of V4", prop("Binary"), st.binary(), lambda v: urlsafe_b64encode(v).decode().rstrip("=")),
    ("Duration", prop("Duration"), st.integers(0, 10**7).map(lambda s: timedelta(seconds=s)), lambda v: f"P{v.days}DT{v.seconds}S"),
]


@pytest.mark.parametrize(("field", "values", "wire"), [case[1:] for case in WIRES], ids=[case[0] for case in WIRES])
def test_every_type_comes_through_unchanged_in_bulk_and_one_by_one(field: Property, values: st.SearchStrategy[Any], wire: Any) -> None:
    @settings(max_examples=25)
    @given(st.lists(st.none() | values, min_size=1, max_size=30))
    def comes_through(given_values: list[Any]) -> None:
        page = rows(*(None if value is None else wire(value) for value in given_values))
        made = decoder(field)

        bulk = made._in_bulk(page)

        assert bulk.column("v").to_pylist() == given_values
        assert bulk.column(DEFECT).null_count == len(page)
        assert made._one_by_one(page).equals(bulk)
        assert bulk.schema.equals(made.schema, check_metadata=True)

    comes_through()


ODD_TEXTS = """0x1F| 1|1 |+5|1e3|-1.50|1_000|INF|inf|nan|NaN||0|99999999999.5|true|/Date(1)/|/Date(-1)/|/Date()/|/Date(1e3)/|
/Date(0x1F)/|/Date(+1)/|/Date(--1)/|/Date(5+0000)/|/Date(5-0060)/|/Date(12|2024-01-01X00:00:00Z|
/Date(99999999999999999999)/|2024-02-30|2024-02-29|2024-2-9|0000-00-00|10000-01-01|2024-01-01T00:00:00|2024-01-01T00:00:00Z|
2024-01-01T25:00:00Z|2024-01-01 00:00:00Z|2024-01-01T00:00Z|2024-01-01T00:00:00.1234567Z|20240101T000000Z|2024-01-01T00:00:00+02:00|
PT|PT25H|PT1H|PT1M1S|PT1.5S|12:30|12:30:61|24:00:00|YQ==|YQ|Y!==|P1D|-P1D|[1]""".replace("\n", "").split("|")
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**40), 10**40),  # past what 128 bits hold once a scale is filled in
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(ODD_TEXTS),
)
TYPES = [case[1] for case in WIRES if case[0] not in ("Int64 bare", "Double bare")] + [
    prop("Decimal", precision=5, scale=2),
    prop("Decimal"),
]


@pytest.mark.parametrize("field", TYPES, ids=lambda field: field.native_type)
@pytest.mark.parametrize("version", [2, 4])
def test_bulk_never_takes_what_one_by_one_refuses_or_reads_otherwise(field: Property, version: int) -> None:
    @settings(max_examples=60)
    @given(st.lists(ODD, min_size=1, max_size=3))
    def never(values: list[Any]) -> None:
        page = rows(*values)
        made = decoder(field, version)
        slow = made._one_by_one(page)
        assert slow.num_rows == len(page)
        try:
            bulk = made._in_bulk(page)
        except REFUSALS:
            return
        assert str(bulk.to_pylist()) == str(slow.to_pylist())  # as text, because NaN is not NaN

    never()


@pytest.mark.parametrize(
    ("field", "value", "defect"),
    [
        (prop("Decimal", precision=5, scale=2), "12,50", 'v: not a number: "12,50"'),
        (prop("Decimal", precision=5, scale=2), "99999", 'v: not a decimal(5,2): "99999"'),
        (prop("Decimal", precision=5, scale=2), "1.234", 'v: not a decimal(5,2): "1.234"'),
        (prop("Decimal", precision=5, scale=2), 99999, "v: not a decimal(5,2): 99999"),
        (prop("Decimal", precision=16, scale=3), f"1e-{'9' * 23}", f'v: not a number: "1e-{"9" * 23}"'),
        (prop("Decimal", precision=16, scale=3), 1e-42, "v: not a decimal(16,3): 1e-42"),
        (prop("Int32"), "many", 'v: not a number: "many"'),
        (prop("Int32"), 2**31, "v: outside of -2147483648 to 2147483647: 2147483648"),
        (prop("Int32"), 1.5, "v: not a whole number: 1.5"),
        (prop("Boolean"), "X", 'v: neither true nor false: "X"'),
        (prop("String"), {"a": 1}, 'v: not a text: {"a": 1}'),
        (prop("DateTime"), "/Date(253402300800000)/", 'v: outside of the years 1 to 9999: "/Date(253402300800000)/"'),
        (prop("DateTime", day=True), "/Date(-99999999999999999)/", 'v: outside of the years 1 to 9999: "/Date(-99999999999999999)/"'),
        (prop("DateTimeOffset"), "2024-01-01T00:00:00", 'v: a point in time without a time zone: "2024-01-01T00:00:00"'),
        (prop("Date"), "0000-00-00", 'v: no such date (year 0 is out of range): "0000-00-00"'),
        (prop("Time"), "PT25H00M00S", 'v: no such time of day (hour must be in 0..23): "PT25H00M00S"'),
        (prop("Binary"), "Y!", 'v: not base64: "Y!"'),
    ],
    ids=lambda value: value.native_type if isinstance(value, Property) else None,
)
def test_a_value_that_does_not_fit_is_null_and_said_and_its_neighbours_are_kept(field: Property, value: Any, defect: str) -> None:
    batch = decoder(field).decode(rows(None, value, None))

    assert batch.column("k").to_pylist() == ["0", "1", "2"]
    assert batch.column("v").to_pylist() == [None, None, None]
    assert batch.column(DEFECT).to_pylist() == [None, defect, None]


def test_several_defects_of_one_row_are_all_said() -> None:
    shape = EntityShape(name="T", properties=(prop("Int16"), Property(name="w", edm="Edm.Date")))
    batch = PageDecoder(shape, 4).decode([b'{"v":"x","w":"y"}', b'{"v":1,"w":"2024-01-01"}'])
    assert batch.to_pylist()[0] == {"v": None, "w": None, DEFECT: 'v: not a number: "x"; w: not a date: "y"'}
    assert batch.to_pylist()[1] == {"v": 1, "w": date(2024, 1, 1), DEFECT: None}


def test_text_that_is_not_utf8_is_a_defect_of_its_row_alone() -> None:
    page = open_page(
        Response(status=200, headers={}, url="u", body=b'{"d":{"results":[{"k":"1","v":"caf\xe9"},{"k":"2","v":"caf\xc3\xa9"}]}}'),
        2,
        where="w",
    )

    batch = decoder(prop("String")).decode(page.rows)

    assert batch.column("v").to_pylist() == [None, "café"]
    assert batch.column(DEFECT)[0].as_py().endswith('"caf\\xe9"')


def test_numbers_keep_all_their_digits() -> None:
    field = prop("Decimal", precision=30, scale=3)
    batch = decoder(field, 4).decode([b'{"k":"1","v":123456789012345678901234567.891}', b'{"k":"2","v":"0.001"}'])
    assert batch.column("v").to_pylist() == [Decimal("123456789012345678901234567.891"), Decimal("0.001")]


@pytest.mark.parametrize(
    "number", ["1e-42", "5e-43", "2.225073858507203e-309", "1.5E-0042", "-8e-00000000042", f"1e-{42:050}", f"0.{1:042}", f"12.{5:090}"]
)
def test_a_number_of_more_places_than_arrow_counts_is_not_read_in_bulk(number: str) -> None:
    made = decoder(prop("Decimal", precision=16, scale=3))
    for written in (number, f'"{number}"'):
        with pytest.raises(Misfit):
            made._in_bulk([f'{{"k":"0","v":{written}}}'.encode()])


def test_a_field_that_is_absent_is_null_and_one_that_is_unknown_is_left_out() -> None:
    batch = decoder(prop("Int32")).decode([b'{"k":"1","new":{"a":[1]}}', b'{"k":"2","v":5}'])
    assert batch.to_pylist() == [{"k": "1", "v": None, DEFECT: None}, {"k": "2", "v": 5, DEFECT: None}]


def test_an_object_or_a_list_is_kept_as_json_text() -> None:
    field = Property(name="v", edm="Collection(Edm.String)")
    assert decoder(field, 4).decode(rows(["a", "ß"], [])).column("v").to_pylist() == ['["a","ß"]', "[]"]


def test_rows_may_be_written_over_several_lines_and_hold_line_breaks() -> None:
    page = open_page(
        Response(
            status=200, headers={}, url="u", body=json.dumps({"value": [{"k": "a\nb", "v": 1}, {"k": "c", "v": 2}]}, indent=2).encode()
        ),
        4,
        where="w",
    )
    batch = decoder(prop("Int32"), 4)._in_bulk(page.rows)
    assert batch.column("k").to_pylist() == ["a\nb", "c"]


def test_a_row_larger_than_a_block_is_read_in_bulk() -> None:
    values = ["x" * 3_000_000, "y", "z" * 700_000]
    assert decoder(prop("String"))._in_bulk(rows(*values)).column("v").to_pylist() == values


def test_seven_fractional_digits_are_cut_to_microseconds_in_bulk() -> None:
    batch = decoder(prop("DateTimeOffset"), 4)._in_bulk(rows("2024-01-01T10:00:00.1234567Z", "2024-01-01T10:00:00+02:00"))
    assert batch.column("v").to_pylist() == [datetime(2024, 1, 1, 10, 0, 0, 123456, tzinfo=UTC), datetime(2024, 1, 1, 8, tzinfo=UTC)]


def test_an_empty_page_has_the_schema() -> None:
    made = decoder(prop("Decimal", precision=5, scale=2))
    assert made.decode([]).schema.equals(made.schema)


def test_a_row_that_is_no_object_is_a_row_with_a_defect() -> None:
    batch = decoder(prop("Int32")).decode([b'{"k":"1","v":1}', b"7"])
    assert batch.column(DEFECT)[1].as_py().startswith("not a row")
    assert batch.num_rows == 2


def test_midnight_is_a_time() -> None:
    assert decoder(prop("Time"))._in_bulk(rows("PT00H00M00S", "PT", "PT23H59M59S")).column("v").to_pylist() == [
        time(0),
        time(0),
        time(23, 59, 59),
    ]


# -- responses -------------------------------------------------------------------------------------------------------


def answer(body: bytes, **headers: str) -> Response:
    return Response(status=200, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=body, url="u")


def test_a_page_of_v2_and_one_of_v4_come_out_alike() -> None:
    v2 = open_page(answer(b'{"d":{"results":[{"a":1},{"a":2}],"__count":"2","__next":"N"}}'), 2, where="w")
    v4 = open_page(answer(b'{"@odata.context":"c","value":[{"a":1},{"a":2}],"@odata.nextLink":"N"}'), 4, where="w")
    for page in (v2, v4):
        assert ([bytes(row) for row in page.rows], page.count, page.next_link, page.delta_link) == ([b'{"a":1}', b'{"a":2}'], 2, "N", None)


@given(st.data())
def test_a_page_that_is_cut_anywhere_is_transient(data: st.DataObject) -> None:
    body = json.dumps({"value": [{"k": "ä" * n, "v": n} for n in range(4)], "@odata.nextLink": "x"}).encode()
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(SourceUnavailable, match="ends in the middle"):
        open_page(answer(body[:cut]), 4, where="s4 / orders")


@pytest.mark.parametrize(
    "body", [b"[]", b'{"value":{}}', b'{"d":{"results":[]}}', b"<html></html>", b'{"value":[1,]}', b'{"value":[{"a":"\\ud800"}]}']
)
def test_what_is_no_page_is_a_changed_contract(body: bytes) -> None:
    with pytest.raises(SourceContractChanged, match="s4 / orders: a page is no OData page"):
        open_page(answer(body), 4, where="s4 / orders")


@given(st.binary(max_size=60))
def test_any_bytes_are_an_error_of_ours_or_a_page(body: bytes) -> None:
    assume(not body.lstrip().startswith(b"{"))
    for version in (2, 4):
        with pytest.raises((SourceContractChanged, SourceUnavailable)):
            open_page(answer(body), version, where="w")


def test_a_byte_order_mark_and_a_declared_charset_are_understood() -> None:
    assert open_page(answer(b'\xef\xbb\xbf{"value":[]}'), 4, where="w").count == 0
    latin = open_page(answer('{"value":[{"k":"é"}]}'.encode("latin-1"), content_type="application/json;charset=ISO-8859-1"), 4, where="w")
    assert [bytes(row) for row in latin.rows] == ['{"k":"é"}'.encode()]
    with pytest.raises(SourceContractChanged, match="declared charset 'klingon'"):
        open_page(answer(b"{}", content_type="application/json; charset=klingon"), 4, where="w")


def test_the_header_says_whether_rows_are_invented() -> None:
    assert open_page(answer(b'{"value":[]}', x_pilothouse_synthetic="true"), 4, where="w").synthetic
    assert not open_page(answer(b'{"value":[]}'), 4, where="w").synthetic


def test_deletions_are_told_from_rows_that_only_mention_the_marks() -> None:
    body = json.dumps(
        {"value": [{"k": 'says "@removed" and $deletedEntity'}, {"@removed": {"reason": "deleted"}, "@id": "T('1')"}]}
    ).encode()
    page = open_page(answer(body), 4, where="w", with_deletions=True)
    assert (len(page.rows), len(page.deletions), page.count) == (1, 1, 2)
