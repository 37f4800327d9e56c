"""Do two runs of one workspace get along when they run at the same time?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support import definitions as d

if TYPE_CHECKING:
    from support.cli import Cli
    from support.engine import Leftovers
    from support.images import ProbeImages

pytestmark = pytest.mark.docker


def test_two_runs_of_one_workspace_both_end_well(cli: Cli, images: ProbeImages, leftovers: Leftovers) -> None:
    text = (
        "import sys, time\ntime.sleep(0.5)\nfor n in range(200):\n"
        "  open(f'/opt/ml/processing/out/{n}', 'w').write(sys.argv[1] * 10_000)"
    )

    def pipeline(word: str) -> dict[str, object]:
        steps = [
            d.script("Shared", images.plain, "x.py", word, outputs=[d.processing_output("out", "s3://bucket/shared")]),
            d.script(
                "Own", images.plain, "x.py", word, outputs=[d.processing_output("out", f"s3://bucket/own-{word}")]
            ),
        ]
        return d.pipeline(*steps)

    calls = [cli.start_run(pipeline(word), scripts={"x.py": text}) for word in "ab"]
    outcomes = [call.wait().expect(0) for call in calls]

    assert outcomes[0].document["run_id"] != outcomes[1].document["run_id"]
    for path in outcomes[0].stored("shared").iterdir():  # the last writer's, but never a mixture
        assert path.read_text() in {"a" * 10_000, "b" * 10_000}
    for word in "ab":
        assert {path.read_text() for path in outcomes[0].stored(f"own-{word}").iterdir()} == {word * 10_000}
    listed = json.loads(cli.call("runs", "--json", "--workspace", str(cli.workspace)).stdout)
    assert {run["status"] for run in listed} == {"Succeeded"}
    assert len(listed) == 2
    assert leftovers.all() == []


def test_two_runs_that_bring_in_different_inputs_forget_neither(cli: Cli, images: ProbeImages) -> None:
    calls = [
        cli.start_run(
            d.pipeline(d.script("Step", images.plain, f"{word}.py")), scripts={f"{word}.py": f"print('{word}')"}
        )
        for word in "abcd"
    ]
    for call in calls:
        call.wait().expect(0)

    known = json.loads((cli.workspace / "imports.json").read_text())
    assert set(known) == {f"s3://bucket/code/{word}.py" for word in "abcd"}


@pytest.mark.long
@pytest.mark.parametrize("_repetition", range(20))
def test_two_runs_that_bring_in_inputs_at_once_never_lose_an_entry(
    cli: Cli, images: ProbeImages, _repetition: int
) -> None:
    test_two_runs_that_bring_in_different_inputs_forget_neither(cli, images)
