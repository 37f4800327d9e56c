"""Which steps does a list of JSON objects hold, branches included, and what is wrong with each?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness.definition._wording import did_you_mean, kind_of, listed, shown
from harness.definition.models import PropertyFile, Step
from harness.errors import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_steps"]

_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
_BRANCHES: tuple[Literal["IfSteps", "ElseSteps"], ...] = ("IfSteps", "ElseSteps")


class _Entry(NamedTuple):
    """One element of a list of steps, not looked at yet."""

    place: str
    value: Any
    parent: str | None = None
    branch: Literal["IfSteps", "ElseSteps"] | None = None


def read_steps(entries: list[Any], mistakes: list[Mistake]) -> list[Step]:
    """Read steps in document order, a Condition step before the steps of its branches; add what is wrong to mistakes.

    A step without a name is left out, its branches are not. Everything else that is wrong reads as absent.
    """
    if not entries:
        mistakes.append(Mistake("Steps", "the pipeline has no steps"))
    steps: list[Step] = []
    places: dict[str, str] = {}
    waiting = [_Entry(f"Steps[{index}]", value) for index, value in enumerate(entries)][::-1]
    while waiting:
        entry = waiting.pop()
        if not isinstance(entry.value, dict):
            mistakes.append(Mistake(entry.place, f"a step is an object, not {kind_of(entry.value)}"))
            continue
        name = _name(entry, places, mistakes)
        reader = _StepReader(entry, name, mistakes)
        step = reader.step()
        if step is not None:
            steps.append(step)
        waiting += reversed(list(reader.branches()))
    return steps


def _name(entry: _Entry, places: dict[str, str], mistakes: list[Mistake]) -> str | None:
    name = entry.value.get("Name")
    if not isinstance(name, str):
        what = "the step has no Name" if name is None else f"a step's Name is a string, not {kind_of(name)}"
        mistakes.append(Mistake(entry.place, what))
        return None
    if not _NAME.fullmatch(name):
        what = f"{shown(name)} is no step name; 1 to 64 letters, digits, '-' and '_' are"
        mistakes.append(Mistake(f"{entry.place}.Name", what))
    if name in places:
        what = f"there are two steps named {name}; the other one is {places[name]}"
        mistakes.append(Mistake(f"{entry.place}.Name", what))
    places.setdefault(name, entry.place)
    return name


class _StepReader:
    """Reads the members of one step and notes what is wrong with them."""

    def __init__(self, entry: _Entry, name: str | None, mistakes: list[Mistake]) -> None:
        self._entry = entry
        self._raw: dict[str, Any] = entry.value
        self._name = name
        self._who = f"step {name}" if name is not None else "the step"
        self._mistakes = mistakes
        self._arguments: dict[str, Any] = self._member("Arguments", "an object") or {}

    def step(self) -> Step | None:
        """Read everything but the branches; None if the step has no name."""
        raw = self._raw
        kind = raw.get("Type")
        if not isinstance(kind, str) or not kind:
            what = f"{self._who} has no Type" if kind is None else f"{self._who}: Type takes a name, not {shown(kind)}"
            self._wrong("Type" if "Type" in raw else "", what)
            kind = ""
        files = tuple(self._property_files(kind))
        depends_on = tuple(self._depends_on())
        retry_policies = self._member("RetryPolicies", "a list") or []
        for index, policy in enumerate(retry_policies):
            if not isinstance(policy, dict):
                self._wrong(f"RetryPolicies[{index}]", f"{self._who}: a policy is an object, not {kind_of(policy)}")
        cache_config = self._member("CacheConfig", "an object")
        texts = self._member("DisplayName", "a string"), self._member("Description", "a string")
        if self._name is None:
            return None
        return Step(
            name=self._name,
            type=kind,
            arguments=self._arguments,
            depends_on=depends_on,
            property_files=files,
            display_name=texts[0],
            description=texts[1],
            retry_policies=tuple(policy for policy in retry_policies if isinstance(policy, dict)),
            cache_config=cache_config,
            place=self._entry.place,
            parent=self._entry.parent,
            branch=self._entry.branch,
            raw=raw,
        )

    def branches(self) -> Iterator[_Entry]:
        """Give the entries of a Condition step's branches."""
        if self._raw.get("Type") != "Condition":
            return
        for branch in _BRANCHES:
            inner = self._arguments.get(branch, [])
            place = f"Arguments.{branch}"
            if not isinstance(inner, list):
                self._wrong(place, f"{self._who}: {branch} takes a list of steps, not {kind_of(inner)}")
                continue
            for index, value in enumerate(inner):
                yield _Entry(f"{self._entry.place}.{place}[{index}]", value, self._name, branch)

    def _wrong(self, member: str, what: str, remedy: str = "") -> None:
        place = f"{self._entry.place}.{member}" if member else self._entry.place
        self._mistakes.append(Mistake(place, what, remedy))

    def _member(self, member: str, wanted: str) -> Any:
        """Give a member that has to be of a kind; null counts as absent."""
        value = self._raw.get(member)
        if value is None or kind_of(value) == wanted:
            return value
        self._wrong(member, f"{self._who}: {member} takes {wanted}, not {kind_of(value)}")
        return None

    def _depends_on(self) -> Iterator[str]:
        for index, name in enumerate(self._member("DependsOn", "a list") or []):
            if isinstance(name, str):
                yield name
            elif isinstance(name, dict) and {"Step", "Trigger"} <= name.keys():
                # SDK v3's StepDependency: to run it as an ordinary dependency would run it in the wrong case.
                what = f"{self._who} runs when {shown(name['Step'])} is {shown(name['Trigger'])}"
                self._wrong(f"DependsOn[{index}]", f"{what}: run conditions are not emulated", "depend on its name")
            else:
                self._wrong(f"DependsOn[{index}]", f"{self._who}: DependsOn takes step names, not {kind_of(name)}")

    def _property_files(self, kind: str) -> Iterator[PropertyFile]:
        outputs = self._output_names() if kind == "Processing" else None
        seen: set[str] = set()
        for index, value in enumerate(self._member("PropertyFiles", "a list") or []):
            place = f"PropertyFiles[{index}]"
            if not isinstance(value, dict):
                self._wrong(place, f"{self._who}: a property file is an object, not {kind_of(value)}")
                continue
            members = ("PropertyFileName", "OutputName", "FilePath")
            missing = [member for member in members if not isinstance(value.get(member), str) or not value[member]]
            if missing:
                self._wrong(place, f"{self._who}: the property file has no {' and no '.join(missing)}")
                continue
            name, output, path = (value[member] for member in members)
            if name in seen:
                self._wrong(f"{place}.PropertyFileName", f"{self._who} has two property files named {name}")
            if outputs is not None and output not in outputs:
                there = f"its outputs are {listed(outputs)}" if outputs else "it has no outputs"
                what = f"{self._who}: the property file {name} is to be in the output {output}; {there}"
                self._wrong(f"{place}.OutputName", what, did_you_mean(output, outputs))
            seen.add(name)
            yield PropertyFile(name=name, output_name=output, file_path=path)

    def _output_names(self) -> list[str] | None:
        """Name the outputs of a Processing step; None if the definition alone does not tell them."""
        config = self._arguments.get("ProcessingOutputConfig") or {}
        outputs = (config.get("Outputs") or []) if isinstance(config, dict) else None
        if not isinstance(outputs, list):
            return None
        names = [output.get("OutputName") if isinstance(output, dict) else None for output in outputs]
        # An expression may stand for a name: then it is known when the step starts.
        return None if any(not isinstance(name, str) for name in names) else [str(name) for name in names]
