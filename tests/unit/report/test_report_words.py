"""Are sizes, times and tables written as a person reads them?"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.words import duration, size, table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (0.44, "0.4 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 00 s"),
        (60, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (3720, "1 h 02 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_a_time_span(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, ""),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1.5 * 1024**2, "1.5 MiB"),
        (1024**3, "1.0 GiB"),
        (5 * 1024**4, "5.0 TiB"),
        (5000 * 1024**4, "5000.0 TiB"),
    ],
)
def test_a_number_of_bytes(count: float | None, text: str) -> None:
    assert size(count) == text


@given(st.floats(0, 1e6))
def test_no_time_span_has_sixty_of_anything(seconds: float) -> None:
    assert all(float(number) < 60 for number in re.findall(r"([\d.]+) (?:min|s)", duration(seconds)))


@given(st.integers(0, 2**49))
def test_no_size_is_1024_of_anything_but_the_largest_unit(count: int) -> None:
    assert not size(count).startswith("1024") or size(count).endswith("TiB")


def test_columns_are_aligned_and_nothing_trails() -> None:
    assert table([("a", "long one", "x"), ("bb", "", ""), ("", "s", "y")]) == "a   long one  x\nbb\n    s         y"


def test_rows_can_be_indented() -> None:
    assert table([("a", "b")], indent="  ") == "  a  b"


def test_no_rows_are_no_text() -> None:
    assert table([]) == ""
