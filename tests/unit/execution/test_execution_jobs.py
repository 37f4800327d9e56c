"""How does one job step run: what it asks of the engine, and what becomes of every way to end?"""

from __future__ import annotations

import json
import os
import tarfile
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.definitions import OUT, ROLE, channel, get, processing, processing_input, processing_output, training
from support.simulation import RUN_ID, Script

from harness.engine.labels import KEEP, RUN, STEP, WORKSPACE
from harness.errors import EngineError
from harness.service.inputs import no_objects_reason
from harness.service.outcome import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.simulation import Simulation

    from harness.engine.null import NullHost

    Simulate = Callable[..., Simulation]

IMAGE = "111122223333.dkr.ecr.us-east-1.amazonaws.com/mine:1"
SEED = [processing_input("seed", "s3://bucket/seed", "/opt/ml/processing/in")]


def prepare(name: str = "Prepare", **more: Any) -> dict[str, Any]:
    more.setdefault("outputs", [processing_output("out", f"s3://bucket/{name}/out")])
    return processing(name, IMAGE, **more)


def train(name: str = "Train", **more: Any) -> dict[str, Any]:
    return training(name, IMAGE, **more)


def model_uri(run: Simulation, step: str = "Train") -> str:
    return f"s3://bucket/{step}/{run.step(step).job_name}/output/model.tar.gz"


# what a job is


def test_a_job_is_named_as_the_service_names_it_and_labelled_as_ours(simulation: Simulate) -> None:
    run = simulation()

    run.run(prepare())

    job = run.engine.job_of("Prepare")
    assert job.spec.name.startswith(f"pipelines-{RUN_ID}-Prepare-")
    assert run.step("Prepare").job_name == job.spec.name
    assert job.labels[RUN] == RUN_ID
    assert job.labels[STEP] == "Prepare"
    assert job.labels[WORKSPACE] == str(run.workspace.root)
    assert KEEP not in job.labels


def test_a_job_gets_the_account_of_its_role(simulation: Simulate) -> None:
    run = simulation()

    run.run(train())

    environment = run.engine.job_of("Train").spec.hosts[0].environment
    assert environment["TRAINING_JOB_ARN"].startswith(
        "arn:aws:sagemaker:us-east-1:111122223333:training-job/pipelines-"
    )


def test_a_custom_job_name_is_resolved_and_kept(simulation: Simulate) -> None:
    step = train(request={"TrainingJobName": get("Parameters.Prefix")})

    run = simulation()
    run.run(step, parameters=[{"Name": "Prefix", "Type": "String", "DefaultValue": "nightly"}])

    assert (run.step("Train").job_name or "").startswith("nightly-")


def test_a_step_knows_its_own_jobs_name(simulation: Simulate) -> None:
    run = simulation()

    run.run(train(hyperparameters={"me": get("Execution.TrainingJobName")}))

    files = run.engine.job_of("Train").spec.hosts[0].trees[0].files
    assert json.loads(files["config/hyperparameters.json"]) == {"me": run.step("Train").job_name}


def test_nothing_of_the_callers_environment_reaches_a_container(
    simulation: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HTTPS_PROXY", "CANARY"):
        monkeypatch.setenv(name, "canary-of-the-host")
    run = simulation()

    run.run(prepare(), train())

    for job in run.engine.jobs:
        assert "canary" not in job.spec.model_dump_json()


def test_request_and_description_are_written_down_for_the_caller_only(simulation: Simulate) -> None:
    run = simulation()

    run.run(prepare(environment={"TOKEN": "secret"}))

    home = run.folder.attempt("Prepare", 1)
    request = json.loads((home / "request.json").read_text())
    assert request["Environment"] == {"TOKEN": "secret"}
    assert json.loads((home / "describe.json").read_text())["ProcessingJobStatus"] == "Completed"
    assert [(home / name).stat().st_mode & 0o777 for name in ("request.json", "describe.json")] == [0o600] * 2


def test_the_engine_is_asked_in_order_and_always_closed(simulation: Simulate) -> None:
    run = simulation()

    run.run(prepare())

    assert [call for call, _ in run.engine.calls] == ["prepare", "start", "wait", "collect", "close"]


@pytest.mark.parametrize("keep", [True, False])
def test_containers_are_kept_only_if_somebody_asks(simulation: Simulate, *, keep: bool) -> None:
    run = simulation()

    run.run(prepare(), keep=keep)

    assert run.engine.job_of("Prepare").kept is keep
    assert (KEEP in run.engine.job_of("Prepare").labels) is keep


# the data's way


@pytest.mark.parametrize("mode", ["bind", "overlay", "archive"])
def test_inputs_come_out_of_the_store_and_outputs_go_into_it(simulation: Simulate, mode: Any) -> None:
    def program(host: NullHost) -> None:
        host.write(f"{OUT}/copy.txt", host.read("/opt/ml/processing/in/a.txt") + b"!")

    run = simulation({"Prepare": Script(program=program)}, mode=mode)
    run.put("s3://bucket/seed/a.txt", "hello")

    run.run(prepare(inputs=SEED))

    assert run.text("s3://bucket/Prepare/out/copy.txt") == "hello!"
    step = run.step("Prepare")
    assert (step.status, step.input_bytes, step.output_bytes) == ("Succeeded", 5, 6)
    assert step.outputs == {"out": "s3://bucket/Prepare/out"}


@pytest.mark.parametrize("mode", ["bind", "overlay", "archive"])
def test_a_model_is_packed_and_found_by_the_next_step(simulation: Simulate, mode: Any) -> None:
    seen: list[list[str]] = []

    def program(host: NullHost) -> None:
        seen.append(host.names("/opt/ml/processing/in"))

    artefacts = get("Steps.Train.ModelArtifacts.S3ModelArtifacts")
    evaluate = prepare("Evaluate", inputs=[processing_input("model", artefacts, "/opt/ml/processing/in")])
    scripts = {"Train": Script(files={"/opt/ml/model/weights": "w"}), "Evaluate": Script(program=program)}
    run = simulation(scripts, mode=mode)

    run.run(train(), evaluate)

    with tarfile.open(run.store.path(model_uri(run))) as tar:
        assert tar.getnames() == ["weights"]
    assert seen == [["model.tar.gz"]]
    assert run.step("Train").outputs == {"model": model_uri(run)}


def test_an_output_without_files_is_no_output(simulation: Simulate) -> None:
    run = simulation()

    run.run(prepare(), train())

    assert run.step("Prepare").outputs == run.step("Train").outputs == {}
    assert run.store.keys("s3://bucket") == []


def test_a_change_to_an_input_is_told_and_the_store_is_unchanged(simulation: Simulate) -> None:
    def program(host: NullHost) -> None:
        host.write("/opt/ml/processing/in/a.txt", "changed")

    run = simulation({"Prepare": Script(program=program)}, mode="overlay")
    run.put("s3://bucket/seed/a.txt", "hello")

    run.run(prepare(inputs=SEED))

    assert run.step("Prepare").changed_inputs == ("/opt/ml/processing/in/a.txt",)
    assert run.text("s3://bucket/seed/a.txt") == "hello"


def test_a_changed_input_may_have_a_name_that_is_no_text(simulation: Simulate) -> None:
    def program(host: NullHost) -> None:
        host.write(os.fsdecode(b"/opt/ml/processing/in/caf\xe9"), "x")

    run = simulation({"Prepare": Script(program=program)}, mode="overlay")
    run.put("s3://bucket/seed/a.txt", "hello")

    run.run(prepare(inputs=SEED))

    assert run.step("Prepare").changed_inputs == ("/opt/ml/processing/in/caf\\xe9",)
    assert run.result.status == "Succeeded"


def test_saved_checkpoints_come_back_and_new_ones_are_saved(simulation: Simulate) -> None:
    def program(host: NullHost) -> int:
        assert host.names("/opt/ml/checkpoints") == ["epoch-1"]
        host.write("/opt/ml/checkpoints/epoch-2", "2")
        return 1

    run = simulation({"Train": Script(program=program)})
    run.put("s3://bucket/saved/epoch-1", "1")

    run.run(train(request={"CheckpointConfig": {"S3Uri": "s3://bucket/saved"}}))

    assert run.store.keys("s3://bucket/saved") == ["saved/epoch-1", "saved/epoch-2"]


# how a job can end


def test_a_successful_job_has_a_result_without_a_cause(simulation: Simulate) -> None:
    usage = Usage(peak_memory_bytes=1024, cpu_s=2.5, network_received_bytes=1, network_sent_bytes=2)
    run = simulation({"Prepare": Script(usage=usage)})

    run.run(prepare())

    step = run.step("Prepare")
    assert (step.status, step.exit_code, step.cause, step.cause_kind, step.failure_reason) == (
        "Succeeded", 0, None, None, None,
    )  # fmt: skip
    (host,) = step.hosts
    assert (host.host, host.peak_memory_bytes, host.cpu_s) == ("algo-1", 1024, 2.5)
    assert host.log == "steps/Prepare/1/algo-1/log.txt"
    assert step.attempt_dir == "steps/Prepare/1"


def test_a_failed_training_job_has_the_services_words_and_publishes_no_model(simulation: Simulate) -> None:
    files = {"/opt/ml/output/failure": "ValueError: no data", "/opt/ml/model/half": "x"}
    run = simulation({"Train": Script(exit_code=1, files=files, log=["Traceback …"])})

    run.run(train())

    step = run.step("Train")
    assert (step.status, step.exit_code, step.cause_kind) == ("Failed", 1, "algorithm")
    assert step.failure_reason == "ClientError: AlgorithmError: ValueError: no data, exit code: 1"
    assert run.store.keys("s3://bucket") == []
    assert (run.folder.attempt("Train", 1) / "algo-1/opt-ml-model/half").is_file()


def test_a_failed_processing_job_does_not_read_the_failure_file_but_shows_it(simulation: Simulate) -> None:
    run = simulation({"Prepare": Script(exit_code=3, files={"/opt/ml/output/failure": "no data"})})

    run.run(prepare())

    step = run.step("Prepare")
    assert step.failure_reason == "ClientError: AlgorithmError: , exit code: 3"
    assert step.notes == ("/opt/ml/output/failure says (not part of a processing job's reason): no data",)


def test_a_reason_is_cut_as_the_service_cuts_it(simulation: Simulate) -> None:
    run = simulation({"Train": Script(exit_code=1, files={"/opt/ml/output/failure": "ü" * 5000})})

    run.run(train())

    reason = run.step("Train").failure_reason or ""
    assert len(reason) == len("ClientError: ") + 1024
    assert reason.endswith("ü, exit code: 1")


def test_a_failure_file_that_is_something_else_does_no_harm(simulation: Simulate) -> None:
    def program(host: NullHost) -> int:
        host.path("/opt/ml/output/failure").mkdir()
        return 1

    run = simulation({"Train": Script(program=program)})

    run.run(train())

    assert run.step("Train").failure_reason == "ClientError: AlgorithmError: , exit code: 1"


def test_running_out_of_memory_is_told_with_the_instances_limit(simulation: Simulate) -> None:
    run = simulation({"Train": Script(exit_code=137, oom_killed=True)})

    run.run(train())

    step = run.step("Train")
    assert step.cause == "out of memory: the kernel killed the container (limit 7782 MiB)"
    assert step.hosts[0].oom_killed


def test_a_program_that_is_missing_is_a_failed_step(simulation: Simulate) -> None:
    run = simulation({"Train": Script(start_error='exec: "train": executable file not found in $PATH')})

    run.run(train())

    step = run.step("Train")
    assert (step.status, step.exit_code, step.cause_kind) == ("Failed", 127, "algorithm")
    assert "executable file not found" in (step.cause or "")


def test_a_job_that_reaches_its_max_runtime_is_stopped_and_publishes(simulation: Simulate) -> None:
    run = simulation({"Train": Script(runs_s=61, files={"/opt/ml/model/weights": "w"})})

    run.run(train(limit_s=60), stop_grace_s=7)

    step = run.step("Train")
    assert (step.status, step.exit_code, step.failure_reason) == ("Stopped", 143, None)
    assert "MaxRuntimeInSeconds was reached" in (step.cause or "")
    assert run.store.keys("s3://bucket") == [model_uri(run).removeprefix("s3://bucket/")]
    assert json.loads((run.folder.attempt("Train", 1) / "describe.json").read_text())["SecondaryStatus"] == (
        "MaxRuntimeExceeded"
    )


def test_a_failed_processing_job_publishes_its_continuous_outputs_only(simulation: Simulate) -> None:
    files = {f"{OUT}/a": "a", "/opt/ml/processing/live/b": "b"}
    outputs = [
        processing_output("out", "s3://bucket/out"),
        processing_output("live", "s3://bucket/live", "/opt/ml/processing/live", "Continuous"),
    ]
    run = simulation({"Prepare": Script(exit_code=1, files=files)})

    run.run(prepare(outputs=outputs))

    assert run.store.keys("s3://bucket") == ["live/b"]


def test_a_message_is_kept_whatever_the_end_and_cut_at_one_kib(simulation: Simulate) -> None:
    files = {"/opt/ml/output/message": "m" * 2000}
    run = simulation({"A": Script(files=files), "B": Script(files=files, exit_code=1)})

    run.run(prepare("A"), prepare("B"))

    assert run.step("A").exit_message == run.step("B").exit_message == "m" * 1024


def test_the_messages_of_several_hosts_have_one_kib_together(simulation: Simulate) -> None:
    run = simulation({"A": Script(files={"/opt/ml/output/message": "ü" * 400}, runs_s=1)})

    run.run(prepare("A", hosts=2))

    assert run.step("A").exit_message == "ü" * 512


def test_several_hosts_share_the_work_and_the_verdict(simulation: Simulate) -> None:
    scripts = {
        "Train/algo-1": Script(files={"/opt/ml/model/rank-0": "0"}, runs_s=5),
        "Train/algo-2": Script(files={"/opt/ml/model/rank-1": "1"}, runs_s=5),
    }
    run = simulation(scripts)

    run.run(train(hosts=2))

    with tarfile.open(run.store.path(model_uri(run))) as tar:
        assert tar.getnames() == ["rank-0", "rank-1"]
    assert [host.host for host in run.step("Train").hosts] == ["algo-1", "algo-2"]


def test_of_several_hosts_the_one_that_failed_by_itself_decides(simulation: Simulate) -> None:
    files = {"/opt/ml/output/failure": "rank 1 is lost"}
    run = simulation({"Train/algo-1": Script(runs_s=50), "Train/algo-2": Script(exit_code=3, runs_s=10, files=files)})

    run.run(train(hosts=2))

    step = run.step("Train")
    assert step.exit_code == 3
    assert step.failure_reason == "ClientError: AlgorithmError: rank 1 is lost, exit code: 3"
    assert [host.exit_code for host in step.hosts] == [143, 3]
    assert step.cause is None


def test_metrics_are_read_out_of_the_logs(simulation: Simulate) -> None:
    definitions = {"MetricDefinitions": [{"Name": "rmse", "Regex": r".*#011rmse:(\S+)"}]}
    run = simulation({"Train": Script(log=["[0]\trmse:9.5", ("stderr", "[1]\trmse:7.25")])})

    run.run(train(algorithm=definitions))

    described = json.loads((run.folder.attempt("Train", 1) / "describe.json").read_text())
    assert [(one["MetricName"], one["Value"]) for one in described["FinalMetricDataList"]] == [("rmse", 7.25)]


def test_lines_are_shown_while_the_job_runs_and_kept_in_its_log(simulation: Simulate) -> None:
    shown: list[tuple[str, ...]] = []

    class Watcher:
        def event(self, event: dict[str, Any]) -> None: ...

        def line(self, *line: str) -> None:
            shown.append(line)

    run = simulation({"Prepare": Script(log=["one", ("stderr", "two")], exit_code=3)})

    run.run(prepare(), observers=[Watcher()])

    assert shown == [("Prepare", "algo-1", "stdout", "one"), ("Prepare", "algo-1", "stderr", "two")]
    assert b" stderr two\n" in (run.folder.attempt("Prepare", 1) / "algo-1/log.txt").read_bytes()
    assert run.events("step.finished")[0]["tail"] == ["one", "two"]


# requests that are refused, and what is not emulated


@pytest.mark.parametrize(
    ("step", "status", "kind", "words"),
    [
        (
            prepare(inputs=SEED), "Failed", "definition",
            "ClientError: ValidationException: "
            + no_objects_reason("s3://bucket/seed", region="us-east-1", role=ROLE),
        ),
        (
            prepare(inputs=[processing_input("x", "not-s3", "/opt/ml/processing/in")]), "Failed", "definition",
            "ClientError: ValidationException: input 'x': 'not-s3' is no S3 URI (s3://bucket/key)",
        ),
        (
            prepare(outputs=[processing_output("o", "s3://b/o", "/o")]), "Failed", "definition",
            "ClientError: ValidationException: LocalPath '/o' of output 'o' does not begin with /opt/ml/processing/.",
        ),
        (
            prepare(hosts=0), "Failed", "definition",
            "ClientError: ValidationException: this is no CreateProcessingJob request: InstanceCount 0 is less than 1",
        ),
        (
            train(request={"OutputDataConfig": {}}), "Failed", "definition",
            "ClientError: ValidationException: this is no CreateTrainingJob request: member 'S3OutputPath' is missing",
        ),
        (
            train(channels=[channel("x", "s3://bucket/x"), channel("x", "s3://bucket/x")]), "Failed", "definition",
            "ClientError: ValidationException: channel name 'x' is not unique in InputDataConfig.",
        ),
        (
            train(channels=[channel("x", "s3://bucket/x", InputMode="Pipe")]), "NotEmulated", "not emulated",
            "channel 'x' is read in Pipe mode: not emulated yet",
        ),
        (
            train(request={"AlgorithmSpecification": {"AlgorithmName": "mine"}}), "NotEmulated", "not emulated",
            "the request names an AlgorithmName or no image: not emulated yet",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_request_that_cannot_be_run_never_reaches_the_engine(
    simulation: Simulate, step: dict[str, Any], status: str, kind: str, words: str
) -> None:
    run = simulation()

    run.run(step)

    (result,) = run.result.steps
    assert (result.status, result.cause_kind, result.failure_reason) == (status, kind, words)
    assert run.engine.calls == []


@pytest.mark.parametrize("odd", [5, "text", ["x"], [5], [{"S3Input": 5}]], ids=repr)
@pytest.mark.parametrize("member", ["ProcessingInputs", "ProcessingOutputConfig", "AppSpecification", "Environment"])
def test_a_request_of_another_shape_is_refused_and_no_bug(simulation: Simulate, member: str, odd: Any) -> None:
    step = prepare()
    step["Arguments"][member] = odd
    run = simulation()

    run.run(step)

    (result,) = run.result.steps
    assert result.status in {"Failed", "NotEmulated"}
    assert result.cause_kind in {"definition", "not emulated"}, result.cause


def test_an_image_that_nobody_has_fails_the_step_that_asks_for_it(simulation: Simulate) -> None:
    run = simulation(missing_images={IMAGE})

    run.run(prepare())

    step = run.step("Prepare")
    assert (step.status, step.cause_kind) == ("Failed", "definition")
    assert step.failure_reason == f"ClientError: nobody has the image {IMAGE}"
    assert "--image" in (step.cause or "")


# engine and disk


@pytest.mark.parametrize("call", ["prepare", "start", "wait", "collect"])
def test_an_engine_that_breaks_is_infrastructure_and_the_job_is_closed(simulation: Simulate, call: Any) -> None:
    run = simulation({"Prepare": Script(raises={call: EngineError("the engine is gone")})})

    run.run(prepare())

    step = run.step("Prepare")
    assert (step.status, step.cause_kind, step.cause) == ("Failed", "infrastructure", "the engine is gone")
    assert run.result.exit_code == 5
    if call != "prepare":
        assert run.engine.job_of("Prepare").closed


def test_what_cannot_be_cleaned_up_does_not_change_the_verdict(simulation: Simulate) -> None:
    run = simulation({"Prepare": Script(raises={"close": EngineError("the engine is gone")})})

    run.run(prepare())

    assert run.step("Prepare").status == "Succeeded"
    assert run.step("Prepare").notes == ("not cleaned up: the engine is gone",)


def test_a_full_disk_while_publishing_is_infrastructure(simulation: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    run = simulation({"Prepare": Script(files={f"{OUT}/a": "a"})})

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "/disk/a")

    monkeypatch.setattr(run.store, "put", full)
    run.run(prepare())

    step = run.step("Prepare")
    assert (step.status, step.cause_kind, step.exit_code) == ("Failed", "infrastructure", 0)
    assert step.failure_reason == "publishing out of step Prepare: No space left on device (/disk/a)"
    assert run.result.exit_code == 5


def test_a_key_that_cannot_be_a_file_is_infrastructure_and_names_both_writers(simulation: Simulate) -> None:
    run = simulation({"Prepare": Script(files={f"{OUT}/a": "a"})})
    run.put("s3://bucket/Prepare/out")

    run.run(prepare())

    step = run.step("Prepare")
    assert step.cause_kind == "infrastructure"
    assert "(written by step Prepare)" in (step.cause or "")
    assert "(written by the test)" in (step.cause or "")


def test_a_bug_of_ours_is_told_as_that_with_its_traceback_in_a_file(
    simulation: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = simulation()

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("harness.service.outcome.judge", broken)
    run.run(prepare())

    step = run.step("Prepare")
    assert (step.status, step.cause_kind) == ("Failed", "infrastructure")
    assert step.failure_reason == "the harness itself failed: ZeroDivisionError: oops"
    assert "ZeroDivisionError: oops" in (run.folder.path / "harness-error-Prepare.txt").read_text()


# being stopped


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Hold a script until the test ends."""
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.mark.timeout(30)
def test_a_stopped_job_is_stopped_and_publishes_nothing(simulation: Simulate, held: threading.Event) -> None:
    files = {"/opt/ml/model/weights": "w", "/opt/ml/checkpoints/e": "e"}
    run = simulation({"Train": Script(until=held, files=files, log=["started"])})
    executor = run.prepare(train(request={"CheckpointConfig": {"S3Uri": "s3://bucket/saved"}}))
    step = executor.examined.definition.step("Train")
    ended: list[Any] = []
    thread = threading.Thread(target=lambda: ended.append(executor.runner.run(step)))

    thread.start()
    while ("wait", "Train") not in run.engine.calls:
        thread.join(0.005)
    executor.runner.stop(3)
    thread.join()

    result = ended[0].result
    assert (result.status, result.cause_kind, result.exit_code) == ("Stopped", "interrupted", 143)
    assert (result.cause, result.failure_reason) == ("stopped: the run was interrupted", None)
    assert run.engine.job_of("Train").grace_s == 3
    assert run.store.keys("s3://bucket") == []


def test_a_job_that_had_ended_before_it_was_stopped_is_published(simulation: Simulate) -> None:
    run = simulation({"Prepare": Script(files={f"{OUT}/a": "a"})})
    executor = run.prepare(prepare())

    class StopsWhenCollecting(dict[str, Any]):
        def get(self, call: str, default: Any = None) -> Any:
            if call == "collect":
                executor.runner.stop(0)
            return default

    run.engine.scripts["Prepare"] = Script(files={f"{OUT}/a": "a"}, raises=StopsWhenCollecting())
    finished = executor.runner.run(executor.examined.definition.step("Prepare"))

    assert finished.result.status == "Succeeded"
    assert run.text("s3://bucket/Prepare/out/a") == "a"


def test_after_a_stop_no_job_is_started(simulation: Simulate) -> None:
    run = simulation({"Prepare": Script(log=["never"])})
    executor = run.prepare(prepare())
    executor.runner.stop(0)

    finished = executor.runner.run(executor.examined.definition.step("Prepare"))

    assert (finished.result.status, finished.result.cause_kind) == ("Stopped", "interrupted")
    assert finished.tail == ()
    assert run.engine.job_of("Prepare").closed
