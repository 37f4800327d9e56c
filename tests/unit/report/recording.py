"""How were the recorded event streams made? By runs with the null engine; call this file to record them anew.

    PYTHONPATH=tests python tests/unit/report/recording.py

What differs from run to run is set, not searched for: the chance part of job names, times and durations, and the folder
of the workspace. The texts beside the streams are what the renderers make of them; read them before committing.
"""

from __future__ import annotations

import io
import json
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from support.definitions import (
    OUT,
    condition,
    fail,
    get,
    output_uri,
    processing,
    processing_input,
    processing_output,
    training,
)
from support.simulation import Script, Simulation

from harness.engine.null import NullImages
from harness.errors import EngineError
from harness.report.console import Console
from harness.results import ImageUse
from harness.service.outcome import Usage

if TYPE_CHECKING:
    from harness.engine.null import NullHost

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("passed", "failed", "interrupted")
WORKSPACE = "/home/me/project/.harness"
SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
MINE = "111122223333.dkr.ecr.us-east-1.amazonaws.com/mine:1"
IN = "/opt/ml/processing/in"
MIB = 1024 * 1024
DURATIONS_S = {"Prepare": 3.25, "Train": 65.4, "Hungry": 12.0, "Slow": 3725.0, "Broken": 0.5}
TRACEBACK = [
    "epoch 1",
    ("stderr", "Traceback (most recent call last):"),
    ("stderr", '  File "/opt/ml/code/train.py", line 12, in <module>'),
    ("stderr", "    raise ValueError('rank 1 has no data')"),
    ("stderr", "ValueError: rank 1 has no data"),
]


class Images(NullImages):
    """One stand-in among the real ones."""

    def resolve(self, uri: str, *, dry: bool = False) -> ImageUse:
        if uri == SKLEARN:
            return ImageUse(
                uri=uri,
                reference="sagemaker-harness/sklearn:1.2-1",
                source="stand-in",
                detail="sklearn:1.2-1",
                image_id="sha256:0123",
                differences=("no inference server",),
            )
        return super().resolve(uri, dry=dry)


def _prepare(**more: Any) -> dict[str, Any]:
    return processing(
        "Prepare",
        SKLEARN,
        inputs=[processing_input("raw", "s3://bucket/raw", IN)],
        outputs=[processing_output("out", "s3://bucket/prepared", OUT, more.pop("mode", "EndOfJob"))],
        **more,
    )


def _metrics(host: NullHost) -> None:
    host.write(f"{OUT}/metrics.json", json.dumps({"rows": 1500}))


def _passed(run: Simulation) -> None:
    run.put("s3://bucket/raw/data.csv", "x" * 2048)
    usage = Usage(peak_memory_bytes=180 * MIB, cpu_s=2.5)
    run.engine.scripts["Prepare"] = Script(program=_metrics, usage=usage, log=["1500 rows"])
    rows = {"Std:JsonGet": {"PropertyFile": get("Steps.Prepare.PropertyFiles.Metrics"), "Path": "rows"}}
    files = [{"PropertyFileName": "Metrics", "OutputName": "out", "FilePath": "metrics.json"}]
    run.run(
        _prepare(PropertyFiles=files),
        condition(
            "Enough", rows, 1000, kind="GreaterThan", then=[training("Train", MINE)], other=[fail("Stop", "few")]
        ),
        parameters=[{"Name": "Strict", "Type": "Boolean", "DefaultValue": True}],
        jobs=1,
    )


def _change_input(host: NullHost) -> None:
    host.write(f"{IN}/data.csv", "changed")
    host.write(f"{OUT}/train.csv", "1,2")
    host.path(f"{OUT}/link").symlink_to("/etc/passwd")


def _failed(run: Simulation) -> None:
    run.put("s3://bucket/raw/data.csv", "x" * 2048)
    files = {"/opt/ml/output/failure": "ValueError: rank 1 has no data"}
    usage = Usage(peak_memory_bytes=512 * MIB, cpu_s=60.0)
    run.engine.scripts |= {
        "Prepare": Script(program=_change_input),
        "Train/algo-1": Script(runs_s=60, usage=usage, log=["epoch 1", "epoch 2"]),
        "Train/algo-2": Script(runs_s=30, exit_code=1, usage=usage, log=TRACEBACK, files=files),
        "Hungry": Script(exit_code=137, oom_killed=True, log=[f"line {number}" for number in range(25)]),
        "Slow": Script(runs_s=4000, files={"/opt/ml/model/half": "x"}),
        "Broken": Script(raises={"wait": EngineError("the engine is gone", remedy="start it again")}),
    }
    run.run(
        _prepare(mode="Continuous"),
        training("Train", MINE, hosts=2, DependsOn=["Prepare"]),
        processing("Evaluate", MINE, inputs=[processing_input("m", output_uri("Train"), IN)]),
        processing("Hungry", MINE),
        training("Slow", MINE, limit_s=3600),
        condition("Gate", 1, 2, then=[processing("Deploy", MINE)], other=[fail("Reject", "rmse is\ntoo high")]),
        {"Name": "Notify", "Type": "Lambda", "Arguments": {}, "FunctionArn": "arn"},
        processing("After", MINE, DependsOn=["Notify"]),
        processing("Broken", MINE),
        processing("NoData", MINE, inputs=[processing_input("x", "s3://bucket/nothing", IN)]),
        jobs=1,
    )


def _interrupted(run: Simulation) -> None:
    run.put("s3://bucket/raw/data.csv")
    gate = threading.Event()
    run.engine.scripts["Prepare"] = Script(until=gate, log=["started"])
    executor = run.prepare(_prepare(), training("Train", MINE, DependsOn=["Prepare"]), jobs=1)

    def press_ctrl_c(*_: Any) -> None:
        executor._inbox.put(signal.SIGINT)

    with mock.patch.object(run.journal, "line", press_ctrl_c):
        run.result = executor.run()
    run.journal.close()


def record(name: str, root: Path) -> str:
    """Make one stream; ``root`` is an empty folder."""
    # An input that is changed can be told only of an overlay.
    run = Simulation(root / "workspace", mode="overlay")
    run.images = Images()
    make = {"passed": _passed, "failed": _failed, "interrupted": _interrupted}[name]
    with mock.patch(
        "harness.service.names.job_name", lambda execution, step, _: f"pipelines-{execution}-{step}-0123456789"
    ):
        make(run)
    images = [{"event": "image.resolved", **run.images.resolve(uri).model_dump(mode="json")} for uri in (SKLEARN, MINE)]
    lines = []
    for seq, event in enumerate([*images, *run.events()], start=1):
        fixed = _with_fixed_times({"v": 1, "seq": seq, "time": "", **event}, seq)
        lines.append(json.dumps(fixed, ensure_ascii=False).replace(str(run.workspace.root), WORKSPACE))
    return "".join(f"{line}\n" for line in lines)


def _with_fixed_times(event: dict[str, Any], seq: int) -> dict[str, Any]:
    event["seq"], event["time"] = seq, f"2026-01-31T12:00:{seq:02}.000Z"
    result = event.get("result")
    for one in [result, *result.get("steps", ())] if result else ():
        one["started_at"] = "2026-01-31T12:00:00.000Z" if one["started_at"] else None
        if one["duration_s"]:
            one["duration_s"] = DURATIONS_S.get(one.get("name", ""), 0.0)
    if event["event"] == "run.finished":
        event["result"]["duration_s"] = 3810.2
    return event


def console_text(stream: str) -> str:
    """Render a stream as it looks where no terminal reads."""
    out = io.StringIO()
    console = Console(out)
    for line in stream.splitlines():
        console.event(json.loads(line))
    return out.getvalue()


def main() -> None:
    """Record all streams and their texts."""
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            stream = record(name, Path(folder))
        (GOLDEN / f"{name}.events.jsonl").write_text(stream, encoding="utf-8")
        (GOLDEN / f"{name}.console.txt").write_text(console_text(stream), encoding="utf-8")
        sys.stdout.write(f"{name}: {len(stream.splitlines())} events\n")


if __name__ == "__main__":
    main()
