"""Data comes back from being saved exactly as it was, or is refused with the place of the fault."""

from __future__ import annotations

import datetime
import decimal
import json
from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flue_cli.errors import DataError
from flue_cli.jsondata.strict import MAX_BYTES, MAX_DEPTH, dumps, loads

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\\"/ud8🙂\x00\x7f\u2028'))
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)
broken_texts = st.text(st.characters() | st.sampled_from("\\ud83\ud83d\udc00🙂"))


class Point(NamedTuple):
    x: int
    y: int


class Thing:
    pass


def shape(value: Any) -> Any:
    """A value with its types and the order of its keys, which == does not look at."""
    if isinstance(value, dict):
        return [(key, shape(child)) for key, child in value.items()]
    if isinstance(value, list):
        return [shape(child) for child in value]
    return type(value), repr(value)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@given(values)
def test_whatever_json_holds_comes_back(value: Any) -> None:
    """Every JSON value comes back equal, of the same types and with its keys in the same order."""
    text = dumps(value)

    assert text.isascii()
    assert shape(loads(text)) == shape(value)


@given(broken_texts, broken_texts)
def test_text_comes_back_or_is_refused(key: str, value: str) -> None:
    """Text is refused exactly when it cannot be written as UTF-8, as a key and as a value."""
    try:
        f"{key}{'-'}{value}".encode()
    except UnicodeEncodeError:
        with pytest.raises(DataError, match="lone surrogate"):
            dumps({key: [value]})
    else:
        assert loads(dumps({key: [value]})) == {key: [value]}


@pytest.mark.parametrize(
    "text",
    ["\\ud800", "\\udc00", "C:\\udder\\ud83d", "\\ud83d\\ude00", "🙂", "🙂🙂", "\\ud83d🙂", "🙂\\udc00"],
)
def test_text_that_looks_like_an_escape_is_fine(text: str) -> None:
    """Emoji, and backslashes followed by what looks like half of one, are kept as they are."""
    assert loads(dumps({text: text})) == {text: text}


@pytest.mark.parametrize(
    "text", ["\\ud83d\udc00", "\ud83d\\udc00", "\ud83d\ude00", "\ude00 \ud83d", "🙂\ude00", "\ud83d🙂"]
)
def test_half_an_emoji_is_refused_whatever_stands_beside_it(text: str) -> None:
    """A lone surrogate is found even next to a whole emoji, another half, or what looks like one."""
    with pytest.raises(DataError) as refused:
        dumps({"name": text})

    assert str(refused.value) == "data.name: lone surrogate in text"


def cycle_in_dict() -> dict[str, Any]:
    data: dict[str, Any] = {"a": {}}
    data["a"]["b"] = data
    return data


def cycle_in_list() -> dict[str, Any]:
    items: list[Any] = [1]
    items.append(items)
    return {"items": items}


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        ({"tasks": [1, 2, 3, {4}]}, "data.tasks[3]: set"),
        ({"a": frozenset()}, "data.a: frozenset"),
        ({"a": float("nan")}, "data.a: nan"),
        ({"a": [float("inf")]}, "data.a[0]: inf"),
        ({"a": float("-inf")}, "data.a: -inf"),
        ({"a": b"x"}, "data.a: bytes"),
        ({"a": bytearray(b"x")}, "data.a: bytearray"),
        ({"at": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)}, "data.at: datetime.datetime"),
        ({"price": decimal.Decimal(1)}, "data.price: decimal.Decimal"),
        ({"a": (1, 2)}, "data.a: tuple"),
        ({"a": Point(1, 2)}, "data.a: test_strict_json.Point"),
        ({"a": Thing()}, "data.a: test_strict_json.Thing"),
        ({"a": Thing}, "data.a: type"),
        ({"a": 1j}, "data.a: complex"),
        ({"a": {"b": {1: "x"}}}, "data.a.b: key 1 is int, not str"),
        ({"a": {None: "x"}}, "data.a: key None is NoneType, not str"),
        ({"a": {True: "x"}}, "data.a: key True is bool, not str"),
        ({1.5: "x"}, "data: key 1.5 is float, not str"),
        ({"a": {(1, 2): "x"}}, "data.a: key (1, 2) is tuple, not str"),
        ({"1": "a", 1: "b"}, "data: key 1 is int, not str"),
        ({"a": "x\ud800"}, "data.a: lone surrogate in text"),
        ({"a": {"\udfff": 1}}, r"data.a: key '\udfff' has a lone surrogate"),
        ({"a": 10**5000}, "data.a: int with too many digits"),
        (cycle_in_dict(), "data.a.b: contains itself"),
        (cycle_in_list(), "data.items[1]: contains itself"),
        ([{1}], "data[0]: set"),
        ({1}, "data: set"),
        ({"a": {1}, "b": (2,)}, "data.a: set"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_its_path(data: Any, refusal: str) -> None:
    """The first thing in the data that JSON cannot hold is named, with the way to it."""
    with pytest.raises(DataError) as refused:
        dumps(data)

    assert str(refused.value) == refusal
    assert f"{refused.value.path}: {refused.value.problem}" == refusal


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("plain_1", "data.plain_1"),
        ("", 'data[""]'),
        ("two words", 'data["two words"]'),
        ("a.b", 'data["a.b"]'),
        ("1st", 'data["1st"]'),
        ('say "hi"', 'data["say \\"hi\\""]'),
        ("line\nbreak\x1b", 'data["line\\nbreak\\u001b"]'),
        ("gr ße", 'data["gr \\u00dfe"]'),
    ],
)
def test_a_path_quotes_keys_that_need_it(key: str, path: str) -> None:
    """A key that is no plain word stands in brackets and quotes, so that the path can be read one way."""
    with pytest.raises(DataError) as refused:
        dumps({key: {1}})

    assert refused.value.path == path


def test_a_path_begins_with_what_was_given() -> None:
    """A fault in something other than the data is said to be there."""
    with pytest.raises(DataError, match=r"^meta\.usage: set$"):
        dumps({"usage": {1}}, root="meta")


@pytest.mark.parametrize("kind", [OrderedDict, lambda items: defaultdict(int, items)])
def test_dicts_of_a_special_kind_are_dicts(kind: Any) -> None:
    """An OrderedDict or defaultdict is kept as the object that it is."""
    assert loads(dumps(kind([("b", 1), ("a", 2)]))) == {"b": 1, "a": 2}


def test_one_thing_in_two_places_is_no_cycle() -> None:
    """The same list may stand in the data twice."""
    shared = [1]

    assert dumps({"a": shared, "b": [shared]}) == '{"a":[1],"b":[[1]]}'


def test_an_integer_has_as_many_digits_as_python_reads() -> None:
    """An integer of 4,300 digits, the most that Python reads back, is kept."""
    number = 10**4299

    assert loads(dumps({"n": number})) == {"n": number}


def test_two_hundred_levels_are_kept_and_no_more() -> None:
    """Data nested 200 levels deep is kept, one level more is refused."""
    assert loads(dumps(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(DataError, match="nested more than 200 levels deep"):
        dumps(nested(MAX_DEPTH + 1))


def test_depth_without_end_is_refused_in_few_words() -> None:
    """Data nested deeper than Python's own JSON can go is refused, with a path that fits on a line."""
    data: dict[str, Any] = {}
    for _ in range(50_000):
        data = {"next": data}

    with pytest.raises(DataError, match="nested more than 200 levels deep") as refused:
        dumps(data)

    assert len(refused.value.path) < 100
    while data:  # else taking it down again would be deep, too
        data = data["next"]


def test_sixteen_mebibytes_are_kept_and_no_more() -> None:
    """Data of exactly 16 MiB of JSON is kept, one byte more is refused."""
    frame = len('{"a":""}')
    most = {"a": "x" * (MAX_BYTES - frame)}

    assert len(dumps(most)) == MAX_BYTES
    with pytest.raises(DataError, match=r"^data: 16\.0 MiB of JSON, more than 16 MiB$"):
        dumps({"a": most["a"] + "x"})


def test_data_is_small_and_ascii() -> None:
    """JSON is written without spaces and in ASCII, keys in the order they came."""
    assert dumps({"b": [1, 2.5, None, True], "a": "ä🙂"}) == (
        '{"b":[1,2.5,null,true],"a":"\\u00e4\\ud83d\\ude42"}'
    )


@pytest.mark.parametrize(
    "text",
    ["NaN", '{"a":Infinity}', "[-Infinity]", "", "{", "{'a':1}", "[1,]", "nul", '{"a":1}{', "9" * 5000],
)
def test_reading_refuses_what_is_no_json(text: str) -> None:
    """What is not JSON is a ValueError, NaN and Infinity included."""
    with pytest.raises(ValueError):  # noqa: PT011 - every kind of it
        loads(text)


def test_reading_refuses_depth_without_end() -> None:
    """JSON nested deeper than Python can go is a ValueError like any other that cannot be read."""
    with pytest.raises(ValueError):  # noqa: PT011 - every kind of it
        loads("[" * 100_000 + "]" * 100_000)


@given(values)
def test_reading_takes_the_json_of_others(value: Any) -> None:
    """JSON with spaces and bare Unicode, as others write it, is read the same."""
    assert shape(loads(json.dumps(value, ensure_ascii=False, indent=1))) == shape(value)
