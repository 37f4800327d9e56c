"""What does a training job's container see, and what happens to what it leaves behind?

Container contract, section (a). The functions are pure: requests and listings in, frozen specs out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from harness.errors import NotEmulatedError, RequestError
from harness.service import wire
from harness.service.inputs import join_uri, shard, split_uri
from harness.service.instances import limits_of
from harness.service.names import Identity, arn, host_names, hostname
from harness.service.outcome import metric_pattern
from harness.service.spec import Frozen, HostSpec, JobSpec, PlacedObject, Placement, Publication, Tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Channel", "channels", "layout", "results_prefix"]

DEFAULT_MAX_RUNTIME_S = 86_400
DEFAULT_CHECKPOINTS = "/opt/ml/checkpoints"
DEFAULT_TENSORBOARD = "/opt/ml/output/tensorboard/"
_CHANNEL_NAME = re.compile(r"[A-Za-z0-9.\-_]{1,64}")
_GROUP = "homogeneousCluster"
_INTERFACE = "eth0"


class Channel(Frozen):
    """One entry of InputDataConfig."""

    name: str
    uri: str
    mode: str
    """File, FastFile."""
    sharded: bool = False
    content_type: str | None = None
    record_wrapper: str = "None"
    compression: str = "None"


def channels(request: Mapping[str, Any]) -> tuple[Channel, ...]:
    """Read the channels of a CreateTrainingJob request.

    Raises:
        NotEmulatedError: A channel uses Pipe mode, a manifest or a file system.
        RequestError: Two channels have one name, or one's name is none.

    """
    default_mode = request.get("AlgorithmSpecification", {}).get("TrainingInputMode") or "File"
    found = tuple(_channel(entry, default_mode) for entry in request.get("InputDataConfig") or ())
    names = [channel.name for channel in found]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"ValidationException: channel name {name!r} is not unique in InputDataConfig.")
    return found


def _channel(entry: Mapping[str, Any], default_mode: str) -> Channel:
    name = str(entry.get("ChannelName", ""))
    source = entry.get("DataSource", {}).get("S3DataSource")
    mode = entry.get("InputMode") or default_mode
    if not _CHANNEL_NAME.fullmatch(name) or name in {".", ".."}:
        raise RequestError(f"ValidationException: {name!r} is no channel name ({_CHANNEL_NAME.pattern}).")
    if source is None:
        raise NotEmulatedError(f"channel {name!r} reads from a file system: not emulated yet")
    if source.get("S3DataType", "S3Prefix") != "S3Prefix":
        raise NotEmulatedError(f"channel {name!r} is a {source['S3DataType']}: not emulated yet")
    if mode not in {"File", "FastFile"}:
        raise NotEmulatedError(f"channel {name!r} is read in {mode} mode: not emulated yet")
    return Channel(
        name=name,
        uri=str(source["S3Uri"]),
        mode=mode,
        sharded=source.get("S3DataDistributionType") == "ShardedByS3Key",
        content_type=entry.get("ContentType"),
        record_wrapper=entry.get("RecordWrapperType") or "None",
        compression=entry.get("CompressionType") or "None",
    )


def results_prefix(request: Mapping[str, Any], name: str) -> str:
    """Where a job's archives go: ``<S3OutputPath>/<job name>/output`` (contract a.8)."""
    return join_uri(str(request["OutputDataConfig"]["S3OutputPath"]), f"{name}/output")


def layout(
    request: Mapping[str, Any],
    *,
    name: str,
    identity: Identity,
    objects: Mapping[str, Sequence[PlacedObject]],
    host_cpus: int | None = None,
) -> JobSpec:
    """Lay a training job out.

    Args:
        request: The resolved CreateTrainingJob request.
        name: The job's name.
        identity: Region, account and execution of the run.
        objects: Per channel name (and ``checkpoints``), the objects that it has, all hosts' together.
        host_cpus: How many CPUs the machine has; limits above are clamped.

    """
    resources = request.get("ResourceConfig") or {}
    if resources.get("InstanceGroups"):
        raise NotEmulatedError("heterogeneous InstanceGroups are not emulated yet")
    instance_type = str(resources.get("InstanceType", ""))
    hosts = host_names(int(resources.get("InstanceCount", 1)))
    algorithm = request.get("AlgorithmSpecification") or {}
    declared = channels(request)
    entrypoint, arguments = _program(algorithm)
    environment = _environment(request, name, identity)
    return JobSpec(
        kind="Training",
        name=name,
        arn=arn(identity.region, identity.account, "training-job", name),
        hosts=tuple(
            HostSpec(
                host=host,
                hostname=hostname(name, host),
                entrypoint=entrypoint,
                arguments=arguments,
                environment=environment,
                trees=_trees(request, declared, objects, hosts, index, instance_type),
                limits=limits_of(instance_type, host_cpus=host_cpus),
            )
            for index, host in enumerate(hosts)
        ),
        max_runtime_s=int((request.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_S)),
        isolated=bool(request.get("EnableNetworkIsolation")),
        publications=_publications(request, name),
        notes=_notes(declared, algorithm.get("MetricDefinitions") or ()),
    )


def _notes(declared: Sequence[Channel], metrics: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    notes = [
        f"channel {channel.name!r} is a writable folder here, read-only in FastFile mode on the service"
        for channel in declared
        if channel.mode == "FastFile"
    ]
    notes += [
        f"metric {metric.get('Name')!r} is not read: its Regex is none that Python knows"
        for metric in metrics
        if metric_pattern(str(metric.get("Regex", ""))) is None
    ]
    return tuple(notes)


def _program(algorithm: Mapping[str, Any]) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Combine entrypoint and arguments: ``train`` is passed only when neither is given (contract a.1.1–a.1.4)."""
    entrypoint, arguments = algorithm.get("ContainerEntrypoint"), algorithm.get("ContainerArguments")
    if not entrypoint and not arguments:
        return None, ("train",)
    return (
        tuple(wire.text(word) for word in entrypoint) if entrypoint else None,
        tuple(wire.text(word) for word in arguments or ()),
    )


def _environment(request: Mapping[str, Any], name: str, identity: Identity) -> dict[str, str]:
    """Give what the platform sets (contract a.4, captured), and the request's own on top.

    Not here: AWS_DEFAULT_REGION (the service does not set it), credentials and metadata addresses (nothing answers
    them). AWS_EC2_METADATA_DISABLED is ours: on a cloud host the metadata service would hand out the host's role.
    """
    return {
        "TRAINING_JOB_NAME": name,
        "TRAINING_JOB_ARN": arn(identity.region, identity.account, "training-job", name),
        "AWS_REGION": identity.region,
        "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
        "AWS_EC2_METADATA_DISABLED": "true",
        "DMLC_INTERFACE": _INTERFACE,
        "NVIDIA_VISIBLE_DEVICES": "void",
        "SAGEMAKER_METRICS_DIRECTORY": "/opt/ml/output/metrics/sagemaker",
        **wire.text_map(request.get("Environment")),
    }


def _trees(
    request: Mapping[str, Any],
    declared: Sequence[Channel],
    objects: Mapping[str, Sequence[PlacedObject]],
    hosts: Sequence[str],
    index: int,
    instance_type: str,
) -> tuple[Tree, ...]:
    """``/opt/ml`` as it is when the program starts (contract a.2, captured)."""
    checkpoint = request.get("CheckpointConfig")
    files = {
        f"config/{key}": text for key, text in _config_files(request, declared, hosts, index, instance_type).items()
    }
    placements = []
    for channel in declared:
        whole = objects.get(channel.name, ())
        own = shard(whole, index, len(hosts)) if channel.sharded else tuple(whole)
        placements.append(Placement(folder=f"data/{channel.name}", objects=own))
        files[f"data/{channel.name}-manifest"] = _manifest(channel.uri, whole)
    saved = tuple(objects.get("checkpoints", ()))
    if checkpoint:
        files["data/checkpoints-manifest"] = _manifest(str(checkpoint["S3Uri"]), saved)
    output_folders = ["data", "metrics/sagemaker", "profiler"]
    if request.get("TensorBoardOutputConfig"):
        output_folders.append("tensorboard")
    trees = [
        Tree(
            path="/opt/ml/input",
            files=files,
            folders=("config", "data", *(placement.folder for placement in placements)),
            placements=tuple(placements),
        ),
        Tree(path="/opt/ml/model", collected=True),
        Tree(path="/opt/ml/output", folders=tuple(output_folders), collected=True),
        Tree(path="/opt/ml/errors"),
    ]
    if checkpoint:
        found = Placement(folder="", objects=saved)
        trees.append(Tree(path=_checkpoint_path(checkpoint), placements=(found,), collected=True))
    return tuple(trees)


def _checkpoint_path(checkpoint: Mapping[str, Any]) -> str:
    return str(checkpoint.get("LocalPath") or DEFAULT_CHECKPOINTS).rstrip("/")


def _config_files(
    request: Mapping[str, Any],
    declared: Sequence[Channel],
    hosts: Sequence[str],
    index: int,
    instance_type: str,
) -> dict[str, str]:
    """Write the files of ``/opt/ml/input/config``: exact keys in the captured order (contract a.3)."""
    files = {
        "hyperparameters.json": wire.compact(wire.text_map(request.get("HyperParameters"))),
        "resourceconfig.json": wire.compact(
            {
                "current_host": hosts[index],
                "current_instance_type": instance_type,
                "current_group_name": _GROUP,
                "hosts": list(hosts),
                "instance_groups": [
                    {"instance_group_name": _GROUP, "instance_type": instance_type, "hosts": list(hosts)},
                ],
                "network_interface_name": _INTERFACE,
                "topology": None,
            }
        ),
        "inputdataconfig.json": wire.compact({channel.name: _input_data(channel) for channel in declared}),
        "init-config.json": wire.compact(_init_config(request, declared, len(hosts), index)),
        "metric-definition-regex.json": wire.compact(
            (request.get("AlgorithmSpecification") or {}).get("MetricDefinitions") or [],
        ),
    }
    if request.get("CheckpointConfig"):
        files["checkpointconfig.json"] = wire.compact({"LocalPath": _checkpoint_path(request["CheckpointConfig"])})
    if board := request.get("TensorBoardOutputConfig"):
        local = board.get("LocalPath") or DEFAULT_TENSORBOARD
        files["tensorboardoutputconfig.json"] = wire.compact(
            {"S3OutputPath": board["S3OutputPath"], "LocalPath": local}
        )
    return files


def _input_data(channel: Channel) -> dict[str, str]:
    """One channel of inputdataconfig.json; FastFile reads ``File`` (contract, DECIDED 7)."""
    first = {"ContentType": channel.content_type} if channel.content_type else {}
    return {
        **first,
        "TrainingInputMode": "File",
        "S3DistributionType": "ShardedByS3Key" if channel.sharded else "FullyReplicated",
        "RecordWrapperType": channel.record_wrapper,
    }


def _init_config(
    request: Mapping[str, Any],
    declared: Sequence[Channel],
    host_count: int,
    index: int,
) -> dict[str, Any]:
    """Write the agent's own file (contract a.3, captured 2020 and 2022)."""
    config: dict[str, Any] = {
        "inputMode": "FILE",
        "channels": {
            channel.name: _agent_channel(
                channel.uri,
                "SHARDED_BY_S3_KEY" if channel.sharded else "FULLY_REPLICATED",
                compression=channel.compression.upper(),
                wrapper=channel.record_wrapper.upper(),
                sharded=channel.sharded,
            )
            for channel in declared
        },
    }
    if checkpoint := request.get("CheckpointConfig"):
        config["checkpointChannel"] = {
            "name": "checkpoints",
            "channel": _agent_channel(str(checkpoint["S3Uri"]), None, compression=None, wrapper=None, sharded=False),
            "outputPath": _checkpoint_path(checkpoint),
            "allowEmpty": True,
        }
    return {
        **config,
        "hostConfig": {"clusterSize": host_count, "hostNumber": index},
        "enableAdditionalPlatformLoggingForCustomer": False,
        "jobRunInfo": {"jobRunNumber": 1},
    }


def _agent_channel(
    uri: str,
    distribution: str | None,
    *,
    compression: str | None,
    wrapper: str | None,
    sharded: bool,
) -> dict[str, Any]:
    return {
        "s3DataSource": {
            "s3DataType": "S3_PREFIX",
            "s3Uri": uri,
            "s3DataDistributionType": distribution,
            "attributeNames": None,
        },
        "fileSystemDataSource": None,
        "compressionType": compression,
        "recordWrapper": wrapper,
        "shuffleConfig": None,
        "inputMode": "FILE",
        "sharded": sharded,
    }


def _manifest(uri: str, objects: Sequence[PlacedObject]) -> str:
    """List a channel: its key prefix, then every object of it, also the other hosts' (contract a.7, captured)."""
    return "".join(f"{line}\n" for line in [split_uri(uri)[1], *(placed.uri for placed in objects)])


def _publications(request: Mapping[str, Any], name: str) -> tuple[Publication, ...]:
    """Where model, output and checkpoints go (contract a.8; nothing of a failed job, DECIDED 2)."""
    prefix = results_prefix(request, name)
    packed = (request["OutputDataConfig"].get("CompressionType") or "GZIP") != "NONE"
    found = [
        Publication(
            path="/opt/ml/model",
            uri=f"{prefix}/model.tar.gz" if packed else f"{prefix}/model",
            form="archive" if packed else "files",
            when="stopped too",
            name="model",
        ),
        Publication(
            path="/opt/ml/output/data",
            uri=f"{prefix}/output.tar.gz" if packed else f"{prefix}/output",
            form="archive" if packed else "files",
            when="stopped too",
            name="output",
        ),
    ]
    if checkpoint := request.get("CheckpointConfig"):
        found.append(
            Publication(
                path=_checkpoint_path(checkpoint),
                uri=str(checkpoint["S3Uri"]),
                form="files",
                when="always",
                name="checkpoints",
            )
        )
    return tuple(found)
