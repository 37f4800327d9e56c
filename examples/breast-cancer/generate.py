# ruff: noqa: INP001 (a script beside its data, not a package)
"""Write `pipeline.json` and `harness.yaml` from `pipeline.py`, without AWS.

    pip install -r requirements.txt
    python generate.py            # write both files
    python generate.py --check    # write nothing; exit 1 if a committed file is out of date

The SDK uploads the scripts while it makes the definition. Here the uploads go to an S3 in this process (moto), and
what arrived there becomes the `inputs` of `harness.yaml`: each URI with the local source it stands for.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ |= {  # before the SDK is imported; keys that no one could use by mistake
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
}
os.environ.pop("AWS_PROFILE", None)
# The SDK says at length that nothing runs yet and that it leaves job names out: both are meant.
logging.disable(logging.WARNING)
warnings.filterwarnings("ignore", message="Running within a PipelineSession")

import boto3  # noqa: E402
import pipeline as example  # noqa: E402
from moto import mock_aws  # noqa: E402

# Given, so that no defaults file of this machine changes the definition, and nothing is sent to anyone.
SDK_CONFIG = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}


def define() -> tuple[str, list[str]]:
    """Give the pipeline's definition and the URIs of the code that the SDK uploaded for it."""
    with mock_aws(), tempfile.TemporaryDirectory() as scratch:
        # The SDK's hash covers the path it was given as well as the content, and every file below a source_dir:
        # a clean copy under a relative name gives the same keys on every machine.
        shutil.copytree(HERE / "code", Path(scratch, "code"), ignore=shutil.ignore_patterns("__pycache__", ".*"))
        before = Path.cwd()
        os.chdir(scratch)
        try:
            session = example.get_session(sagemaker_config=SDK_CONFIG)
            definition = json.loads(example.get_pipeline(session, code_dir="code").definition())
        finally:
            os.chdir(before)
        uploads = boto3.client("s3", region_name=example.REGION).list_objects_v2(Bucket=example.BUCKET)
    uris = [f"s3://{example.BUCKET}/{item['Key']}" for item in uploads["Contents"]]
    return json.dumps(definition, indent=2) + "\n", uris


def local_source(uri: str) -> str:
    """Name the file or folder of this example that an upload was made from."""
    name = uri.rsplit("/", 1)[1]
    source = "code/train" if name == "sourcedir.tar.gz" else f"code/{name}"
    if not (HERE / source).exists():
        raise FileNotFoundError(f"{uri} was made from no file of this example: {source}")
    return source


def settings(definition: str, uploads: list[str]) -> str:
    """Give the text of harness.yaml: what stands locally for each object that the pipeline finds in S3."""
    defaults = {each["Name"]: each["DefaultValue"] for each in json.loads(definition)["Parameters"]}
    sources = {defaults["InputDataUri"]: "data/breast_cancer.csv"}
    sources |= {uri: local_source(uri) for uri in sorted(uploads, key=local_source)}
    lines = [
        "# Written by generate.py. The paths are relative to this file; a folder given for a .tar.gz is packed.",
        f"name: {example.NAME}",
        "inputs:",
        *(f"  {uri}: {source}" for uri, source in sources.items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the files, or compare them with what would be written."""
    parser = argparse.ArgumentParser(description="Write pipeline.json and harness.yaml from pipeline.py, without AWS.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    check = parser.parse_args().check

    definition, uploads = define()
    stale = []
    for name, text in {"pipeline.json": definition, "harness.yaml": settings(definition, uploads)}.items():
        file = HERE / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                file.write_text(text, encoding="utf-8")
    verb = "out of date" if check else "written"
    print(f"{verb}: {', '.join(stale)}" if stale else "up to date")  # noqa: T201
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
