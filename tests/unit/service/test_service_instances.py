"""What does an instance type leave to its container?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.service.instances import known_types, limits_of


@pytest.mark.parametrize(
    ("instance_type", "cpus", "nominal_mib"),
    [
        ("ml.t3.medium", 2, 4096),
        ("ml.m5.large", 2, 8192),
        ("ml.m5.xlarge", 4, 16384),
        ("ml.m5.24xlarge", 96, 393216),
        ("ml.c5.9xlarge", 36, 73728),
        ("ml.r5.xlarge", 4, 32768),
        ("ml.p3.8xlarge", 32, 249856),
        ("ml.g4dn.12xlarge", 48, 196608),
    ],
)
def test_the_published_figures_less_five_percent_of_the_memory(instance_type: str, cpus: int, nominal_mib: int) -> None:
    limits = limits_of(instance_type)

    assert limits.cpus == cpus
    assert limits.memory_mib == nominal_mib * 95 // 100


@pytest.mark.parametrize("instance_type", ["", "local", "ml.m5.huge", "m5.large", "ml.x9.large"])
def test_an_unknown_type_has_no_limits(instance_type: str) -> None:
    limits = limits_of(instance_type)

    assert limits.cpus is None
    assert limits.memory_mib is None


def test_shared_memory_is_dockers_64_mib_for_every_type() -> None:
    assert limits_of("ml.p3.16xlarge").shm_mib == 64
    assert limits_of("unknown").shm_mib == 64


@given(instance_type=st.sampled_from(sorted(known_types())), host_cpus=st.integers(1, 128))
def test_a_container_never_gets_more_cpus_than_the_machine_has(instance_type: str, host_cpus: int) -> None:
    cpus = limits_of(instance_type, host_cpus=host_cpus).cpus

    assert cpus == min(known_types()[instance_type][0], host_cpus)


def test_a_smaller_machine_does_not_change_the_memory() -> None:
    assert limits_of("ml.m5.xlarge", host_cpus=1).memory_mib == limits_of("ml.m5.xlarge").memory_mib
