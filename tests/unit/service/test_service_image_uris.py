from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.errors import ImageError
from harness.service.image_uris import (
    is_public,
    known_tags,
    parse_image_uri,
    public_accounts,
    public_repositories,
)

DIGEST = "sha256:" + "a1" * 32


def test_an_ecr_uri_names_account_region_repository_and_tag():
    uri = parse_image_uri("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3")

    assert uri.is_ecr
    assert (uri.account, uri.region) == ("683313688378", "us-east-1")
    assert (uri.repository, uri.tag, uri.digest) == ("sagemaker-scikit-learn", "1.2-1-cpu-py3", None)
    assert uri.registry == "683313688378.dkr.ecr.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("237065988967.dkr.ecr-fips.us-gov-east-1.amazonaws.com", "us-gov-east-1"),
        ("683313688378.dkr-ecr.us-east-1.on.aws", "us-east-1"),
        ("833128469047.dkr.ecr.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        ("281123927165.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
    ],
)
def test_every_partition_and_kind_of_ecr_host_is_known(host: str, region: str):
    uri = parse_image_uri(f"{host}/sagemaker-xgboost:1.7-1")

    assert uri.is_ecr
    assert uri.region == region
    assert is_public(uri)


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag"),
    [
        ("python", "docker.io", "python", "latest"),
        ("python:3.11-slim", "docker.io", "python", "3.11-slim"),
        ("me/thing:1", "docker.io", "me/thing", "1"),
        ("registry:5000/x", "registry:5000", "x", "latest"),
        ("registry:5000/a/b:2", "registry:5000", "a/b", "2"),
        ("localhost/x", "localhost", "x", "latest"),
        ("public.ecr.aws/deep-learning-containers/pytorch-training:2.5", "public.ecr.aws",
         "deep-learning-containers/pytorch-training", "2.5"),
        ("sagemaker-harness/sklearn:1.2-1", "docker.io", "sagemaker-harness/sklearn", "1.2-1"),
    ],
)  # fmt: skip
def test_other_names_are_read_as_docker_reads_them(text: str, registry: str, repository: str, tag: str):
    uri = parse_image_uri(text)

    assert not uri.is_ecr
    assert (uri.registry, uri.repository, uri.tag) == (registry, repository, tag)
    assert str(uri) == text


def test_a_digest_alone_leaves_no_tag():
    uri = parse_image_uri(f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/mine@{DIGEST}")

    assert (uri.tag, uri.digest) == (None, DIGEST)
    assert uri.name == f"mine@{DIGEST}"


def test_a_tag_may_have_a_digest_beside_it():
    uri = parse_image_uri(f"mine:1@{DIGEST}")

    assert (uri.tag, uri.digest, uri.name) == ("1", DIGEST, "mine:1")


@pytest.mark.parametrize(
    "text", ["", " ", "UPPER", "a:b:c", "a:", "/a", "a//b", "a@sha256:short", "a b", "https://host/a", "a:-1", "a/"]
)
def test_what_is_no_image_name_is_refused(text: str):
    with pytest.raises(ImageError, match="not an image URI"):
        parse_image_uri(text)


def test_a_parsed_uri_cannot_be_changed():
    uri = parse_image_uri("python")

    with pytest.raises(ValidationError):
        uri.tag = "3"


@pytest.mark.parametrize("repository", public_repositories())
def test_every_account_of_the_tables_is_public_in_its_own_region(repository: str):
    for region, account in public_accounts(repository).items():
        assert is_public(parse_image_uri(f"{account}.dkr.ecr.{region}.amazonaws.com/{repository}:x"))


@pytest.mark.parametrize(
    "text",
    [
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",  # a private account
        "683313688378.dkr.ecr.us-east-2.amazonaws.com/sagemaker-xgboost:1.7-1",  # another region's account
        "683313688378.dkr.ecr.us-east-1.amazonaws.com/my-own-image:1",  # AWS publishes no such repository
        "683313688378.dkr.ecr.xx-nowhere-9.amazonaws.com/sagemaker-xgboost:1.7-1",
        "sagemaker-xgboost:1.7-1",
    ],
)
def test_other_images_are_not_public(text: str):
    assert not is_public(parse_image_uri(text))


@pytest.mark.parametrize(
    ("repository", "region", "account"),
    [
        ("sagemaker-scikit-learn", "us-east-1", "683313688378"),
        ("sagemaker-xgboost", "us-west-2", "246618743249"),
        ("sagemaker-xgboost", "eu-central-1", "492215442770"),
        ("xgboost", "us-west-2", "433757028032"),
        ("pytorch-training", "us-east-1", "763104351884"),
        ("pytorch-training", "af-south-1", "626614931356"),
        ("huggingface-pytorch-training", "ap-east-1", "871362719292"),
        ("sagemaker-spark-processing", "us-west-2", "153931337802"),
        ("sagemaker-base-python-310", "ca-central-1", "310906938811"),
    ],
)
def test_the_tables_hold_what_the_sdk_says(repository: str, region: str, account: str):
    assert public_accounts(repository)[region] == account


def test_tags_are_known_where_the_sdk_lists_them():
    assert "1.2-1-cpu-py3" in known_tags("sagemaker-scikit-learn")
    assert {"1.7-1", "3.0-5"} <= set(known_tags("sagemaker-xgboost"))
    assert "2.5.1-cpu-py311" in known_tags("pytorch-training")
    assert known_tags("my-own-image") == ()
