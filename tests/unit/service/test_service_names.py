"""Do jobs, hosts and ARNs get the names that the service would give them?"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.service import names

JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # the pattern of TrainingJobName and ProcessingJobName
HOST_NAME = re.compile(r"ip-10-0-\d{1,3}-\d{1,3}\.ec2\.internal")
STEP_NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", fullmatch=True)


@given(step=STEP_NAMES)
def test_every_steps_job_name_fits_the_services_pattern(step: str) -> None:
    name = names.job_name("abcdefghijkl", step)

    assert JOB_NAME.fullmatch(name)
    assert len(name) <= 63


@given(given=st.text(max_size=100))
def test_every_given_name_becomes_a_job_name_that_fits_the_pattern(given: str) -> None:
    assert JOB_NAME.fullmatch(names.job_name("abcdefghijkl", "Step", given))


def test_a_job_name_has_execution_step_and_ten_characters_of_chance() -> None:
    name = names.job_name("ctd6lgoe9v02", "PreprocessorTraining")

    assert re.fullmatch(r"pipelines-ctd6lgoe9v02-PreprocessorTraining-[A-Za-z0-9]{10}", name)


def test_a_job_name_keeps_the_steps_case() -> None:
    assert "-TrainXGB-" in names.job_name("abcdefghijkl", "TrainXGB")


def test_underscores_become_dashes() -> None:
    assert names.job_name("abcdefghijkl", "my_step").startswith("pipelines-abcdefghijkl-my-step-")


def test_a_long_step_is_cut_so_that_the_chance_part_stays_whole() -> None:
    name = names.job_name("abcdefghijkl", "S" * 64)

    assert re.fullmatch(r"pipelines-abcdefghijkl-S{29}-[A-Za-z0-9]{10}", name)


def test_a_cut_does_not_leave_two_dashes() -> None:
    name = names.job_name("abcdefghijkl", "S" * 28 + "_rest")

    assert re.fullmatch(r"pipelines-abcdefghijkl-S{28}-[A-Za-z0-9]{10}", name)


def test_two_jobs_of_one_step_have_different_names() -> None:
    assert names.job_name("abcdefghijkl", "Train") != names.job_name("abcdefghijkl", "Train")


def test_a_custom_name_replaces_execution_and_step() -> None:
    assert re.fullmatch(r"nightly-[A-Za-z0-9]{10}", names.job_name("abcdefghijkl", "Train", "nightly"))


@pytest.mark.parametrize("given", ["_nightly", "-nightly", "nightly_", "__nightly--"])
def test_a_custom_name_may_begin_or_end_with_what_a_job_name_may_not(given: str) -> None:
    assert re.fullmatch(r"nightly-[A-Za-z0-9]{10}", names.job_name("abcdefghijkl", "Train", given))


def test_an_execution_id_has_twelve_lower_case_letters_and_digits() -> None:
    assert re.fullmatch(r"[a-z0-9]{12}", names.execution_id())


@pytest.mark.parametrize(
    ("region", "written"),
    [
        ("us-east-1", "arn:aws:sagemaker:us-east-1:123456789012:training-job/my-job"),
        ("cn-north-1", "arn:aws-cn:sagemaker:cn-north-1:123456789012:training-job/my-job"),
        ("us-gov-west-1", "arn:aws-us-gov:sagemaker:us-gov-west-1:123456789012:training-job/my-job"),
    ],
)
def test_an_arn_has_its_regions_partition_and_a_lower_case_name(region: str, written: str) -> None:
    assert names.arn(region, "123456789012", "training-job", "My-Job") == written


def test_the_execution_arn_lies_below_the_pipelines() -> None:
    identity = names.Identity("eu-west-1", "123456789012", "Churn", "abc123abc123")

    assert identity.pipeline_arn == "arn:aws:sagemaker:eu-west-1:123456789012:pipeline/churn"
    assert identity.execution_arn == f"{identity.pipeline_arn}/execution/abc123abc123"


@pytest.mark.parametrize(
    ("count", "hosts"),
    [
        (1, ("algo-1",)),
        (3, ("algo-1", "algo-2", "algo-3")),
        (
            11,
            (
                "algo-1",
                "algo-10",
                "algo-11",
                "algo-2",
                "algo-3",
                "algo-4",
                "algo-5",
                "algo-6",
                "algo-7",
                "algo-8",
                "algo-9",
            ),
        ),
    ],
)
def test_hosts_are_listed_in_lexicographic_order(count: int, hosts: tuple[str, ...]) -> None:
    assert names.host_names(count) == hosts


@pytest.mark.parametrize("count", [0, -1])
def test_a_job_without_hosts_is_no_job(count: int) -> None:
    with pytest.raises(ValueError, match="InstanceCount"):
        names.host_names(count)


@given(job=STEP_NAMES, number=st.integers(1, 100))
def test_a_host_name_looks_like_the_services_and_is_not_the_hosts_own(job: str, number: int) -> None:
    name = names.hostname(job, f"algo-{number}")

    assert HOST_NAME.fullmatch(name)
    assert all(0 <= int(part) <= 255 for part in name.partition(".")[0].split("-")[1:])


def test_a_host_name_is_the_same_each_time_and_another_one_for_another_host() -> None:
    assert names.hostname("job", "algo-1") == names.hostname("job", "algo-1")
    assert names.hostname("job", "algo-1") != names.hostname("job", "algo-2")


@pytest.mark.parametrize(
    ("request_", "account"),
    [
        ({"RoleArn": "arn:aws:iam::123456789012:role/service-role/Sage"}, "123456789012"),
        ({"RoleArn": "arn:aws-cn:iam::210987654321:role/Sage"}, "210987654321"),
        ({"ExecutionRoleArn": "arn:aws:iam::123456789012:role/Sage"}, "123456789012"),
        ({"RoleArn": "Sage"}, "000000000000"),
        ({"RoleArn": {"Get": "Parameters.Role"}}, "000000000000"),
        ({}, "000000000000"),
    ],
)
def test_the_account_is_read_out_of_the_role(request_: dict[str, object], account: str) -> None:
    assert names.account_of(request_) == account


def test_a_request_without_a_role_has_the_callers_account() -> None:
    assert names.account_of({}, "111122223333") == "111122223333"
