"""How do jobs, hosts and ARNs get their names?"""

from __future__ import annotations

import hashlib
import random
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Identity", "account_of", "arn", "execution_id", "host_names", "hostname", "job_name"]

_ROLE = re.compile(r"arn:aws[\w-]*:iam::(\d{12}):")
_NOT_IN_A_JOB_NAME = re.compile(r"[^a-zA-Z0-9-]+")
_MAX_JOB_NAME = 63
NO_ACCOUNT = "000000000000"


@dataclass(frozen=True)
class Identity:
    """Who the run pretends to be: region, account, pipeline, execution."""

    region: str
    account: str
    pipeline: str
    execution_id: str

    @property
    def pipeline_arn(self) -> str:
        """``arn:aws:sagemaker:R:ACCT:pipeline/<name>``."""
        return arn(self.region, self.account, "pipeline", self.pipeline)

    @property
    def execution_arn(self) -> str:
        """``arn:aws:sagemaker:R:ACCT:pipeline/<name>/execution/<id>`` (contract f.2)."""
        return f"{self.pipeline_arn}/execution/{self.execution_id}"


def partition(region: str) -> str:
    """Name the partition that a region belongs to."""
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


def arn(region: str, account: str, kind: str, name: str) -> str:
    """Write a SageMaker ARN; the resource's name is in lower case, as the service writes it (contract a.4, b.3)."""
    return f"arn:{partition(region)}:sagemaker:{region}:{account}:{kind}/{name.lower()}"


def execution_id() -> str:
    """Make an execution's id: 12 lower-case letters and digits (contract f.2)."""
    return "".join(random.SystemRandom().choices(string.ascii_lowercase + string.digits, k=12))


def job_name(execution: str, step: str, given: str | None = None) -> str:
    """Name a job as the Pipelines service does: ``pipelines-<execution>-<step>-<10 letters and digits>``.

    The step keeps its case and is cut so that the whole has at most 63 characters (contract f.4, captured). What the
    pattern of job names does not allow (``_``) becomes ``-``. ``given`` is the definition's own job name, which the
    SDK keeps only when asked to use custom prefixes.
    """
    suffix = "".join(random.SystemRandom().choices(string.ascii_letters + string.digits, k=10))
    head = given or f"pipelines-{execution}-{step}"
    head = _NOT_IN_A_JOB_NAME.sub("-", head).strip("-")[: _MAX_JOB_NAME - len(suffix) - 1].rstrip("-")
    return f"{head}-{suffix}" if head else suffix


def host_names(count: int) -> tuple[str, ...]:
    """Name the hosts of a job, in the service's lexicographic order: algo-1, algo-10, algo-2 … (contract a.3).

    Raises:
        ValueError: There are none.

    """
    if count < 1:
        raise ValueError(f"InstanceCount {count} is less than 1")
    return tuple(sorted(f"algo-{number}" for number in range(1, count + 1)))


def hostname(job: str, host: str) -> str:
    """Make up the container's own host name, ``ip-10-0-x-y.ec2.internal``: not ``algo-1`` (contract a.4, captured)."""
    digest = hashlib.sha256(f"{job}/{host}".encode()).digest()
    return f"ip-10-0-{digest[0]}-{1 + digest[1] % 254}.ec2.internal"


def account_of(request: Mapping[str, Any], default: str = NO_ACCOUNT) -> str:
    """Read the account out of a request's role, the only place where a definition names it."""
    found = _ROLE.match(str(request.get("RoleArn") or request.get("ExecutionRoleArn") or ""))
    return found[1] if found else default
