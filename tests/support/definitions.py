"""How are definitions written here? From small functions, in the shape that the service knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "OUT",
    "ROLE",
    "channel",
    "code_input",
    "condition",
    "fail",
    "get",
    "output_uri",
    "pipeline",
    "processing",
    "processing_input",
    "processing_output",
    "script",
    "training",
]

ROLE = "arn:aws:iam::111122223333:role/Tester"
OUT = "/opt/ml/processing/out"
CODE = "/opt/ml/processing/code"


def get(path: str) -> dict[str, str]:
    """Refer to a value."""
    return {"Get": path}


def output_uri(step: str, output: str = "out") -> dict[str, str]:
    """Refer to the URI of a processing step's output."""
    return get(f"Steps.{step}.ProcessingOutputConfig.Outputs['{output}'].S3Output.S3Uri")


def pipeline(*steps: Mapping[str, Any], parameters: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Write a whole definition."""
    return {"Version": "2020-12-01", "Metadata": {}, "Parameters": list(parameters), "Steps": list(steps)}


def _step(name: str, kind: str, arguments: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Arguments": dict(arguments), **extra}


def processing_input(name: str, uri: Any, path: str, **more: Any) -> dict[str, Any]:
    """Write a ProcessingInput."""
    source = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File", **more}
    return {"InputName": name, "S3Input": source}


def code_input(name: str) -> dict[str, Any]:
    """Write the input that holds a script."""
    return processing_input("code", f"s3://bucket/code/{name}", CODE)


def processing_output(name: str, uri: Any, path: str = OUT, mode: str = "EndOfJob") -> dict[str, Any]:
    """Write a ProcessingOutput."""
    return {"OutputName": name, "S3Output": {"S3Uri": uri, "LocalPath": path, "S3UploadMode": mode}}


def processing(
    name: str,
    image: str,
    *,
    entrypoint: Sequence[str] | None = None,
    arguments: Sequence[Any] | None = None,
    inputs: Sequence[Mapping[str, Any]] = (),
    outputs: Sequence[Mapping[str, Any]] = (),
    environment: Mapping[str, Any] | None = None,
    hosts: int = 1,
    instance: str = "ml.t3.medium",
    limit_s: int | None = None,
    isolated: bool = False,
    **extra: Any,
) -> dict[str, Any]:
    """Write a Processing step."""
    application: dict[str, Any] = {"ImageUri": image}
    if entrypoint is not None:
        application["ContainerEntrypoint"] = list(entrypoint)
    if arguments is not None:
        application["ContainerArguments"] = list(arguments)
    cluster = {"InstanceType": instance, "InstanceCount": hosts, "VolumeSizeInGB": 10}
    request: dict[str, Any] = {
        "ProcessingResources": {"ClusterConfig": cluster},
        "AppSpecification": application,
        "RoleArn": ROLE,
    }
    if inputs:
        request["ProcessingInputs"] = list(inputs)
    if outputs:
        request["ProcessingOutputConfig"] = {"Outputs": list(outputs)}
    if environment is not None:
        request["Environment"] = dict(environment)
    if limit_s is not None:
        request["StoppingCondition"] = {"MaxRuntimeInSeconds": limit_s}
    if isolated:
        request["NetworkConfig"] = {"EnableNetworkIsolation": True}
    return _step(name, "Processing", request, extra)


def script(name: str, image: str, file: str, *words: str, **options: Any) -> dict[str, Any]:
    """Write a Processing step that runs a script of ours, with an output ``out`` unless told otherwise."""
    options.setdefault("outputs", [processing_output("out", f"s3://bucket/{name}/out")])
    inputs = [code_input(file), *options.pop("inputs", ())]
    return processing(name, image, entrypoint=["python3", "-u", f"{CODE}/{file}", *words], inputs=inputs, **options)


def channel(name: str, uri: Any, *, sharded: bool = False, **more: Any) -> dict[str, Any]:
    """Write a training channel."""
    distribution = "ShardedByS3Key" if sharded else "FullyReplicated"
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": distribution}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **more}


def training(
    name: str,
    image: str,
    *,
    file: str | None = None,
    channels: Sequence[Mapping[str, Any]] = (),
    hyperparameters: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    hosts: int = 1,
    instance: str = "ml.m5.large",
    limit_s: int = 3600,
    algorithm: Mapping[str, Any] | None = None,
    request: Mapping[str, Any] | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Write a Training step; ``file`` names a script that the image's ``train`` then runs."""
    variables = dict(environment or {})
    if file is not None:
        channels = [*channels, channel("code", f"s3://bucket/code/{file}")]
        variables["PROBE_SCRIPT"] = f"/opt/ml/input/data/code/{file}"
    arguments: dict[str, Any] = {
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File", **(algorithm or {})},
        "OutputDataConfig": {"S3OutputPath": f"s3://bucket/{name}"},
        "ResourceConfig": {"InstanceType": instance, "InstanceCount": hosts, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": limit_s},
        "RoleArn": ROLE,
    }
    if channels:
        arguments["InputDataConfig"] = list(channels)
    if hyperparameters is not None:
        arguments["HyperParameters"] = dict(hyperparameters)
    if variables:
        arguments["Environment"] = variables
    return _step(name, "Training", {**arguments, **(request or {})}, extra)


def condition(
    name: str,
    left: Any,
    right: Any,
    *,
    kind: str = "Equals",
    then: Sequence[Mapping[str, Any]] = (),
    other: Sequence[Mapping[str, Any]] = (),
    **extra: Any,
) -> dict[str, Any]:
    """Write a Condition step that compares two values."""
    conditions = [{"Type": kind, "LeftValue": left, "RightValue": right}]
    arguments = {"Conditions": conditions, "IfSteps": list(then), "ElseSteps": list(other)}
    return _step(name, "Condition", arguments, extra)


def fail(name: str, message: Any, **extra: Any) -> dict[str, Any]:
    """Write a Fail step."""
    return _step(name, "Fail", {"ErrorMessage": message}, extra)
