"""What does an instance type leave to a container?

Figures: vCPU and MiB of memory of the EC2 types behind the ``ml.`` names, as AWS publishes them (contract a.6).
The platform's own share of the memory is not documented; 5 % is taken off (contract i).
"""

from __future__ import annotations

from harness.service.spec import Limits

__all__ = ["known_types", "limits_of"]

_PLATFORM_SHARE = 0.05
_SIZES = {"medium": 2, "large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 32, "9xlarge": 36,
          "12xlarge": 48, "16xlarge": 64, "18xlarge": 72, "24xlarge": 96}  # fmt: skip
# family: MiB per vCPU and the sizes that exist
_FAMILIES: dict[str, tuple[int, tuple[str, ...]]] = {
    "m4": (4096, ("large", "xlarge", "2xlarge", "4xlarge", "16xlarge")),
    "m5": (4096, ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge")),
    "m5d": (4096, ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge")),
    "m6i": (4096, ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge")),
    "m7i": (4096, ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge")),
    "c5": (2048, ("large", "xlarge", "2xlarge", "4xlarge", "9xlarge", "12xlarge", "18xlarge", "24xlarge")),
    "c6i": (2048, ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge")),
    "c7i": (2048, ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge")),
    "r5": (8192, ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge")),
    "r6i": (8192, ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge")),
    "r7i": (8192, ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge")),
    "g4dn": (4096, ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")),
    "g5": (4096, ("xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge")),
}
_IRREGULAR = {
    "t3.medium": (2, 4096), "t3.large": (2, 8192), "t3.xlarge": (4, 16384), "t3.2xlarge": (8, 32768),
    "m4.10xlarge": (40, 163840), "c4.large": (2, 3840), "c4.xlarge": (4, 7680), "c4.2xlarge": (8, 15360),
    "c4.4xlarge": (16, 30720), "c4.8xlarge": (36, 61440),
    "p3.2xlarge": (8, 62464), "p3.8xlarge": (32, 249856), "p3.16xlarge": (64, 499712),
}  # fmt: skip


def known_types() -> dict[str, tuple[int, int]]:
    """Give vCPU and MiB of every type in the table, by its name with ``ml.`` in front."""
    table = {f"ml.{name}": row for name, row in _IRREGULAR.items()}
    for family, (per_cpu, sizes) in _FAMILIES.items():
        table |= {f"ml.{family}.{size}": (_SIZES[size], _SIZES[size] * per_cpu) for size in sizes}
    return table


def limits_of(instance_type: str, *, host_cpus: int | None = None) -> Limits:
    """Turn an instance type into limits for its one container; unknown types have none.

    A container cannot have more CPUs than the machine: engines refuse that, so the figure is clamped.
    """
    found = known_types().get(instance_type)
    if found is None:
        return Limits()
    cpus, memory_mib = found
    return Limits(
        cpus=float(min(cpus, host_cpus) if host_cpus else cpus),
        memory_mib=int(memory_mib * (1 - _PLATFORM_SHARE)),
    )
