"""Has every parameter the value that the service would give it?"""

from __future__ import annotations

from typing import Any

import pytest

from harness.definition import ParameterDeclaration, parse_values


def declare(kind: Any, name: str = "P", **more: Any) -> ParameterDeclaration:
    return ParameterDeclaration(name=name, type=kind, **more)


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("String", "x", "x"), ("String", "", ""), ("String", "new=value", "new=value"), ("String", "true", "true"),
        ("String", "1", "1"), ("String", " padded ", " padded "),
        ("Integer", "42", 42), ("Integer", "-7", -7), ("Integer", "+7", 7), ("Integer", "007", 7), ("Integer", 42, 42),
        ("Integer", "0", 0),
        ("Float", "1.25", 1.25), ("Float", "1", 1.0), ("Float", "-.5", -0.5), ("Float", "1e3", 1000.0),
        ("Float", "2.", 2.0),
        ("Float", 1, 1.0), ("Float", 0.5, 0.5),
        ("Boolean", "true", True), ("Boolean", "FALSE", False), ("Boolean", "True", True), ("Boolean", True, True),
    ],
)  # fmt: skip
def test_a_given_value_is_read_by_the_declared_type(kind: str, given: Any, value: Any) -> None:
    values, mistakes = parse_values([declare(kind)], {"P": given})

    assert mistakes == []
    assert values == {"P": value}
    assert type(values["P"]) is type(value)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("Integer", "abc"), ("Integer", "1.5"), ("Integer", "1e3"), ("Integer", ""), ("Integer", " 1"),
        ("Integer", "1_000"),
        ("Integer", "٣"), ("Integer", "0x10"), ("Integer", "--1"), ("Integer", 1.0), ("Integer", True),
        ("Integer", "9" * 5_000),
        ("Float", "fast"), ("Float", "nan"), ("Float", "inf"), ("Float", "-Infinity"), ("Float", "1e999"),
        ("Float", "1_0.0"),
        ("Float", ""), ("Float", "."), ("Float", True), ("Float", float("nan")), ("Float", float("inf")),
        ("Float", 10**400), pytest.param("Float", 10**5_000, id="huge"),
        ("Boolean", "perhaps"), ("Boolean", "1"), ("Boolean", "yes"), ("Boolean", ""), ("Boolean", 1), ("Boolean", 0.0),
        ("String", 5), ("String", True), ("String", None), ("String", ["x"]),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_a_mistake(kind: str, given: Any) -> None:
    values, (mistake,) = parse_values([declare(kind)], {"P": given})

    assert values == {}
    assert mistake.place == "Parameters.P"
    assert "parameter P" in mistake.what
    assert kind in mistake.what


def test_a_default_holds_until_it_is_overridden() -> None:
    declared = [
        declare("String", "Kept", default="kept", has_default=True),
        declare("Float", "Rate", default=1, has_default=True),
    ]

    values, mistakes = parse_values(declared, {"Rate": "2"})

    assert (values, mistakes) == ({"Kept": "kept", "Rate": 2.0}, [])


def test_a_floats_default_is_a_float() -> None:
    values, _ = parse_values([declare("Float", default=1, has_default=True)], {})

    assert repr(values) == "{'P': 1.0}"


def test_values_come_in_the_order_of_their_declarations() -> None:
    declared = [declare("String", name) for name in ("C", "A", "B")]

    values, _ = parse_values(declared, {"A": "", "B": "", "C": ""})

    assert list(values) == ["C", "A", "B"]


def test_a_missing_value_is_a_mistake_that_says_how_to_give_it() -> None:
    values, (mistake,) = parse_values([declare("Integer", "Wanted")], {})

    assert values == {}
    assert mistake.place == "Parameters.Wanted"
    assert "no default" in mistake.what
    assert "-p Wanted=" in mistake.remedy


@pytest.mark.parametrize(
    ("name", "said"),
    [("learning_rate", "did you mean LearningRate?"), ("LearningRat", "did you mean LearningRate?"),
    ("zzz", "there are LearningRate")],
)  # fmt: skip
def test_an_unknown_name_is_a_mistake_with_the_nearest_one(name: str, said: str) -> None:
    _, (mistake,) = parse_values([declare("String", "LearningRate", default="", has_default=True)], {name: "1"})

    assert name in mistake.what
    assert said in mistake.remedy


def test_where_nothing_is_declared_that_is_said() -> None:
    _, (mistake,) = parse_values([], {"P": "1"})

    assert mistake.remedy == "the pipeline declares none"


def test_an_odd_name_still_has_a_place() -> None:
    _, (mistake,) = parse_values([], {"a b": "1"})

    assert mistake.place == "Parameters['a b']"


@pytest.mark.parametrize(
    ("kind", "options", "given", "fits"),
    [
        ("String", ("fast", "slow"), "slow", True), ("String", ("fast", "slow"), "sideways", False),
        ("Integer", (1, 2), "2", True), ("Integer", (1, 2), "3", False), ("Float", (0.5, 1.0), "1", True),
        ("Boolean", (True,), "false", False),
    ],
)  # fmt: skip
def test_an_enum_allows_its_values_only(kind: str, options: tuple[Any, ...], given: str, fits: bool) -> None:  # noqa: FBT001
    values, mistakes = parse_values([declare(kind, enum_values=options)], {"P": given})

    assert ("P" in values) is fits
    if not fits:
        assert "allowed are" in mistakes[0].what
        assert given in mistakes[0].what


def test_all_mistakes_come_together() -> None:
    declared = [declare("Integer", "A"), declare("String", "B"), declare("Boolean", "C")]

    _, mistakes = parse_values(declared, {"A": "x", "C": "y", "D": "z"})

    assert [mistake.place for mistake in mistakes] == [f"Parameters.{name}" for name in "ABCD"]
