"""Does JSON reach a container byte for byte as the service writes it, and every value as a string?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.service import wire

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12,
)  # fmt: skip


def test_json_is_compact_and_ends_without_a_newline() -> None:
    assert wire.compact({"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]}) == (
        '{"current_host":"algo-1","hosts":["algo-1","algo-2"]}'
    )


def test_an_empty_map_has_two_bytes() -> None:
    assert wire.compact({}) == "{}"


def test_keys_keep_their_order() -> None:
    assert wire.compact({"zebra": 1, "aardvark": 2}) == '{"zebra":1,"aardvark":2}'


def test_letters_outside_of_ascii_are_written_as_they_are() -> None:
    assert wire.compact("Zürich – 東京") == '"Zürich – 東京"'


def test_null_is_written_as_null() -> None:
    assert wire.compact({"topology": None}) == '{"topology":null}'


@pytest.mark.parametrize(
    ("written", "escaped"),
    [
        ("a && b", '"a \\u0026\\u0026 b"'),
        ("1 > 0", '"1 \\u003e 0"'),
        ("<tag>", '"\\u003ctag\\u003e"'),
        ("line\u2028separator", '"line\\u2028separator"'),
        ("paragraph\u2029separator", '"paragraph\\u2029separator"'),
        ('quote " and \\', '"quote \\" and \\\\"'),
        ("tab\tnewline\n", '"tab\\tnewline\\n"'),
    ],
)
def test_go_escapes(written: str, escaped: str) -> None:
    assert wire.go_escaped(written) == escaped


def test_go_escapes_reach_keys_too() -> None:
    assert wire.go_escaped({"a&b": 1}) == '{"a\\u0026b":1}'


@given(DOCUMENTS)
def test_go_escaped_json_reads_back_to_the_same_document(document: Any) -> None:
    written = wire.go_escaped(document)

    assert json.loads(written) == document
    assert not set(written) & set("&<>\u2028\u2029")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (-3, "-3"),
        (0.5, "0.5"),
        (1.0, "1.0"),
        ("5", "5"),
        ("True", "True"),
        ('"quoted"', '"quoted"'),
        ("", ""),
        (None, ""),
        ([1, "a"], '[1,"a"]'),
        ({"a": True}, '{"a":true}'),
    ],
)
def test_a_value_as_it_reaches_a_container(value: Any, text: str) -> None:
    assert wire.text(value) == text


def test_a_map_becomes_strings_and_keeps_its_order() -> None:
    assert list(wire.text_map({"depth": 5, "eta": 0.2, "silent": True, "name": "x"}).items()) == [
        ("depth", "5"), ("eta", "0.2"), ("silent", "true"), ("name", "x"),
    ]  # fmt: skip


def test_no_map_is_an_empty_map() -> None:
    assert wire.text_map(None) == {}


@given(st.dictionaries(st.text(), SCALARS))
def test_every_value_of_a_map_is_a_string(values: dict[str, Any]) -> None:
    assert all(isinstance(text, str) for text in wire.text_map(values).values())
