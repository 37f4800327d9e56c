"""What does a processing job's container see, and what happens to what it leaves behind?

Container contract, section (b). The functions are pure: requests and listings in, frozen specs out.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from harness.errors import NotEmulatedError, RequestError
from harness.service import wire
from harness.service.inputs import shard
from harness.service.instances import limits_of
from harness.service.names import Identity, arn, host_names, hostname
from harness.service.spec import Frozen, HostSpec, JobSpec, PlacedObject, Placement, Publication, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["ProcessingInput", "inputs", "layout"]

DEFAULT_MAX_RUNTIME_S = 86_400
_HOME = "/opt/ml/processing/"


class ProcessingInput(Frozen):
    """One ProcessingInput that the platform downloads."""

    name: str
    uri: str
    path: str
    sharded: bool = False


def inputs(request: Mapping[str, Any]) -> tuple[ProcessingInput, ...]:
    """Read the inputs of a CreateProcessingJob request that the platform itself brings (not AppManaged).

    Raises:
        NotEmulatedError: An input is a DatasetDefinition, a manifest or read in Pipe mode.
        RequestError: A LocalPath does not lie under ``/opt/ml/processing``, or two inputs have one name.

    """
    found = []
    for entry in request.get("ProcessingInputs") or ():
        name = str(entry.get("InputName", ""))
        if entry.get("AppManaged"):
            continue
        source = entry.get("S3Input")
        if source is None:
            raise NotEmulatedError(f"input {name!r} is a DatasetDefinition: not emulated yet")
        if source.get("S3DataType", "S3Prefix") != "S3Prefix":
            raise NotEmulatedError(f"input {name!r} is a {source['S3DataType']}: not emulated yet")
        if (source.get("S3InputMode") or "File") != "File":
            raise NotEmulatedError(f"input {name!r} is read in {source['S3InputMode']} mode: not emulated yet")
        found.append(
            ProcessingInput(
                name=name,
                uri=str(source["S3Uri"]),
                path=_local_path(source, f"input {name!r}"),
                sharded=source.get("S3DataDistributionType") == "ShardedByS3Key",
            )
        )
    _refuse_duplicates([entry.name for entry in found], "input", "ProcessingInputs")
    return tuple(found)


def _refuse_duplicates(names: Sequence[str], what: str, where: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"ValidationException: {what} name {name!r} is not unique in {where}.")


def _local_path(holder: Mapping[str, Any], what: str) -> str:
    written = str(holder.get("LocalPath") or "")
    path = PurePosixPath(written)
    if not f"{path}/".startswith(_HOME) or ".." in path.parts:
        raise RequestError(f"ValidationException: LocalPath {written!r} of {what} does not begin with {_HOME}.")
    return str(path)


def _outputs(request: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Name, local path and S3Output of every output that the platform uploads."""
    entries = (request.get("ProcessingOutputConfig") or {}).get("Outputs") or ()
    found = [
        (
            str(entry.get("OutputName", "")),
            _local_path(entry["S3Output"], f"output {entry.get('OutputName')!r}"),
            entry["S3Output"],
        )
        for entry in entries
        if not entry.get("AppManaged") and entry.get("S3Output")
    ]
    names = [name for name, _, _ in found]
    _refuse_duplicates(names, "output", "ProcessingOutputConfig.Outputs")
    for name in names:
        if ".." in PurePosixPath(name).parts:  # it names a folder below /opt/ml/output/data
            raise RequestError(f"ValidationException: output name {name!r} leads out of its folder.")
    return found


def layout(
    request: Mapping[str, Any],
    *,
    name: str,
    identity: Identity,
    objects: Mapping[str, Sequence[PlacedObject]],
    host_cpus: int | None = None,
) -> JobSpec:
    """Lay a processing job out.

    Args:
        request: The resolved CreateProcessingJob request.
        name: The job's name.
        identity: Region, account and execution of the run.
        objects: Per input name, the objects that it has, all hosts' together.
        host_cpus: How many CPUs the machine has; limits above are clamped.

    """
    cluster = (request.get("ProcessingResources") or {}).get("ClusterConfig") or {}
    hosts = host_names(int(cluster.get("InstanceCount", 1)))
    application = request.get("AppSpecification") or {}
    entrypoint, arguments = application.get("ContainerEntrypoint"), application.get("ContainerArguments")
    job_arn = arn(identity.region, identity.account, "processing-job", name)
    config = wire.go_escaped(job_config(request, name=name, job_arn=job_arn))
    outputs = _outputs(request)
    return JobSpec(
        kind="Processing",
        name=name,
        arn=job_arn,
        hosts=tuple(
            HostSpec(
                host=host,
                hostname=hostname(name, host),
                # Entrypoint drops the image's CMD too; arguments alone keep the image's ENTRYPOINT (contract b.1).
                entrypoint=tuple(_texts(entrypoint)) if entrypoint else None,
                arguments=tuple(_texts(arguments)) if arguments or entrypoint else None,
                environment={
                    "AWS_REGION": identity.region,
                    "AWS_EC2_METADATA_DISABLED": "true",  # ours: a cloud host's own role must not leak in
                    **wire.text_map(request.get("Environment")),
                },
                trees=_trees(request, outputs, objects, hosts, index, config),
                limits=limits_of(str(cluster.get("InstanceType", "")), host_cpus=host_cpus),
            )
            for index, host in enumerate(hosts)
        ),
        max_runtime_s=int((request.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_S)),
        isolated=bool((request.get("NetworkConfig") or {}).get("EnableNetworkIsolation")),
        publications=tuple(
            Publication(
                path=path,
                uri=str(target["S3Uri"]),
                form="files",
                # A failed job uploads Continuous outputs only (contract b.1.6, a switch of the open questions).
                when="always" if target.get("S3UploadMode") == "Continuous" else "stopped too",
                name=output,
            )
            for output, path, target in outputs
        ),
        notes=tuple(
            f"output {output!r} is Continuous: uploaded at the end of the job here, while it runs on the service"
            for output, _, target in outputs
            if target.get("S3UploadMode") == "Continuous"
        ),
    )


def _texts(words: Sequence[Any] | None) -> list[str]:
    return [wire.text(word) for word in words or ()]


def _trees(
    request: Mapping[str, Any],
    outputs: Sequence[tuple[str, str, Mapping[str, Any]]],
    objects: Mapping[str, Sequence[PlacedObject]],
    hosts: Sequence[str],
    index: int,
    config: str,
) -> tuple[Tree, ...]:
    """``/opt/ml`` as it is when the program starts (contract b.2, captured)."""
    placed = [
        (entry.path, shard(objects[entry.name], index, len(hosts)) if entry.sharded else tuple(objects[entry.name]))
        for entry in inputs(request)
    ]
    return (
        Tree(
            path="/opt/ml/config",
            files={
                "processingjobconfig.json": config,
                "resourceconfig.json": wire.compact({"current_host": hosts[index], "hosts": list(hosts)}),
            },
        ),
        Tree(
            path="/opt/ml/output",
            folders=(*(f"data/{output}" for output, _, _ in outputs), "metrics/cloudwatch"),
            collected=True,
        ),
        *data_trees(placed, [path for _, path, _ in outputs]),
    )


def data_trees(placed: Sequence[tuple[str, Sequence[PlacedObject]]], outputs: Sequence[str]) -> tuple[Tree, ...]:
    """Turn input and output paths, which may nest, into as few trees as do the job.

    An input inside of another is part of its tree. An output is a tree of its own, so that reading it back never has
    to tell new files from staged ones – unless inputs lie at or below it, or objects of an input above it do: the job
    works in place then, and what was staged there counts as output too, as on the service.
    """
    roots: dict[str, Tree] = {}

    def root_of(path: str) -> str | None:
        parents = [path, *(str(parent) for parent in PurePosixPath(path).parents)]
        return next((parent for parent in parents if parent in roots), None)

    for path in sorted(set(outputs), key=len):
        if (above := root_of(path)) and above != path:
            roots[above] = _with_folder(roots[above], str(PurePosixPath(path).relative_to(above)))
        elif above is None:
            roots[path] = Tree(path=path, collected=True)
    for path, objects in sorted(placed, key=lambda entry: len(entry[0])):
        if root_of(path) is None:
            roots[path] = Tree(path=path)
        for home, folder, own in _by_root(path, objects, root_of):
            tree = roots[home]
            placement = Placement(folder=folder, objects=own)
            roots[home] = tree.model_copy(update={"placements": (*tree.placements, placement)})
    return tuple(roots[path] for path in sorted(roots))


def _by_root(
    path: str, objects: Sequence[PlacedObject], root_of: Callable[[str], str | None]
) -> list[tuple[str, str, tuple[PlacedObject, ...]]]:
    """Split an input by the trees that it reaches into: its own, and those of outputs below it.

    Returns:
        The tree's path, the folder in it, and the objects with their names there.

    """
    home = root_of(path) or path
    within = str(PurePosixPath(path).relative_to(home))
    folder = "" if within == "." else within
    folders = {str(PurePosixPath(entry.name).parent) for entry in objects}
    below = {name: root for name in folders if (root := root_of(str(PurePosixPath(path, name)))) not in {home, None}}
    parts: dict[str, list[PlacedObject]] = {home: []}
    for entry in objects:
        root = below.get(str(PurePosixPath(entry.name).parent))
        if root is None:
            parts[home].append(entry)
        else:
            name = str(PurePosixPath(path, entry.name).relative_to(root))
            parts.setdefault(root, []).append(entry.model_copy(update={"name": name}))
    return [(root, folder if root == home else "", tuple(own)) for root, own in parts.items()]


def _with_folder(tree: Tree, folder: str) -> Tree:
    return tree.model_copy(update={"folders": (*tree.folders, folder)})


def job_config(request: Mapping[str, Any], *, name: str, job_arn: str) -> dict[str, Any]:
    """Echo the request as processingjobconfig.json: keys in the captured order, defaults filled in (contract b.3)."""
    application = request.get("AppSpecification") or {}
    cluster = (request.get("ProcessingResources") or {}).get("ClusterConfig") or {}
    config: dict[str, Any] = {
        "ProcessingJobArn": job_arn,
        "ProcessingJobName": name,
        "Environment": wire.text_map(request.get("Environment")),
        "AppSpecification": {
            "ImageUri": application.get("ImageUri"),
            "ContainerEntrypoint": _texts(application.get("ContainerEntrypoint")) or None,
            "ContainerArguments": _texts(application.get("ContainerArguments")) or None,
        },
        "ProcessingInputs": [_input_echo(entry) for entry in request.get("ProcessingInputs") or ()],
        "ProcessingOutputConfig": {
            "Outputs": [
                _output_echo(entry) for entry in (request.get("ProcessingOutputConfig") or {}).get("Outputs") or ()
            ],
            "KmsKeyId": (request.get("ProcessingOutputConfig") or {}).get("KmsKeyId"),
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": cluster.get("InstanceCount"),
                "InstanceType": cluster.get("InstanceType"),
                "VolumeSizeInGB": cluster.get("VolumeSizeInGB"),
                "VolumeKmsKeyId": cluster.get("VolumeKmsKeyId"),
            }
        },
        "RoleArn": request.get("RoleArn"),
        "StoppingCondition": {
            "MaxRuntimeInSeconds": (request.get("StoppingCondition") or {}).get(
                "MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_S
            )
        },
    }
    for newer in ("NetworkConfig", "ExperimentConfig"):  # not in the captures: echoed only when the request has it
        if request.get(newer):
            config[newer] = request[newer]
    return config


def _input_echo(entry: Mapping[str, Any]) -> dict[str, Any]:
    echo: dict[str, Any] = {"InputName": entry.get("InputName")}
    if entry.get("AppManaged"):
        echo["AppManaged"] = True
    source = entry.get("S3Input")
    if source is None:
        return {**echo, **{key: entry[key] for key in ("DatasetDefinition",) if key in entry}}
    echo["S3Input"] = {
        "LocalPath": source.get("LocalPath"),
        "S3Uri": source.get("S3Uri"),
        "S3DataDistributionType": source.get("S3DataDistributionType") or "FullyReplicated",
        "S3DataType": source.get("S3DataType") or "S3Prefix",
        "S3InputMode": source.get("S3InputMode") or "File",
        "S3CompressionType": source.get("S3CompressionType") or "None",
        "S3DownloadMode": "StartOfJob",
    }
    return echo


def _output_echo(entry: Mapping[str, Any]) -> dict[str, Any]:
    echo: dict[str, Any] = {"OutputName": entry.get("OutputName")}
    if entry.get("AppManaged"):
        echo["AppManaged"] = True
    if target := entry.get("S3Output"):
        echo["S3Output"] = {
            "LocalPath": target.get("LocalPath"),
            "S3Uri": target.get("S3Uri"),
            "S3UploadMode": target.get("S3UploadMode") or "EndOfJob",
        }
    for other in ("FeatureStoreOutput",):
        if other in entry:
            echo[other] = entry[other]
    return echo
