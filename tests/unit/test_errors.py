"""Is the tree of errors the one that is drawn, and does every error say what, where, and what to do?"""

from __future__ import annotations

import inspect
import re

import pytest

from harness import errors
from harness.errors import DefinitionError, HarnessError, Mistake, MistakesError, PreflightError

CLASSES = {
    name: found
    for name, found in vars(errors).items()
    if inspect.isclass(found) and issubclass(found, HarnessError)
}  # fmt: skip
DRAWN = re.compile(r"^ {4}(?P<lines>[│├└─ ]*)(?P<name>\w+Error) +(?P<codes>[\d/]+) {2,}\S", re.MULTILINE)


def drawn() -> dict[str, tuple[str, str]]:
    """Read parent and exit codes of every error out of the drawing."""
    above: list[tuple[int, str]] = []
    found = {}
    for match in DRAWN.finditer(errors.__doc__ or ""):
        depth = len(match["lines"])
        while above and above[-1][0] >= depth:
            above.pop()
        found[match["name"]] = (above[-1][1] if above else "", match["codes"])
        above.append((depth, match["name"]))
    return found


def test_every_error_is_drawn_with_its_parent_and_its_exit_code() -> None:
    real = {}
    for name, found in CLASSES.items():
        if found is MistakesError:  # an intermediate form, not a kind of error
            continue
        bases = [base for base in found.__mro__[1:] if base in CLASSES.values() and base is not MistakesError]
        codes = "2/7" if found is PreflightError else str(found.exit_code)
        real[name] = (bases[0].__name__ if bases else "", codes)

    assert drawn() == real


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [found.code for found in CLASSES.values() if found is not MistakesError]

    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"SMH-[A-Z0-9-]+", code) for code in codes)


def test_everything_that_is_public_is_listed_in_order() -> None:
    assert errors.__all__ == sorted(errors.__all__)
    assert set(errors.__all__) >= set(CLASSES)


# what they say


def test_an_error_is_its_message_and_its_remedy_on_a_line_of_its_own() -> None:
    assert str(HarnessError("the disk is full", remedy="make room")) == "the disk is full\n  → make room"
    assert str(HarnessError("the disk is full")) == "the disk is full"


@pytest.mark.parametrize(
    ("mistake", "text"),
    [
        (Mistake("Steps[0]", "no name"), "Steps[0]: no name"),
        (Mistake("Steps[0]", "no name", "give one"), "Steps[0]: no name – give one"),
        (Mistake("", "no name"), "no name"),
    ],
)
def test_a_mistake_is_its_place_what_and_remedy(mistake: Mistake, text: str) -> None:
    assert str(mistake) == text


def test_mistakes_are_counted_and_listed() -> None:
    one = DefinitionError("p.json", [Mistake("a", "x")])
    two = DefinitionError("p.json", [Mistake("a", "x"), Mistake("b", "y")], remedy="see the manual")

    assert str(one) == "p.json: 1 mistake\n  a: x"
    assert str(two) == "p.json: 2 mistakes\n  a: x\n  b: y\n  → see the manual"
    assert two.mistakes == (Mistake("a", "x"), Mistake("b", "y"))


@pytest.mark.parametrize(
    ("inputs", "images", "code"),
    [([Mistake("a", "x")], [], 2), ([], [Mistake("b", "y")], 7), ([Mistake("a", "x")], [Mistake("b", "y")], 2)],
)
def test_missing_inputs_weigh_more_than_missing_images(inputs: list[Mistake], images: list[Mistake], code: int) -> None:
    error = PreflightError("p.json", inputs, images)

    assert error.exit_code == code
    assert error.mistakes == (*inputs, *images)
    assert PreflightError.exit_code == 2
