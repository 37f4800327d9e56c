from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import harness
from harness.engine.images import _recipes
from harness.engine.images.standins import StandIn, catalog, find
from harness.errors import ImageError
from harness.service.image_uris import known_tags, parse_image_uri, public_accounts

if TYPE_CHECKING:
    from pathlib import Path

ALL = {standin.name: standin for standin in catalog()}
AWS = [standin for standin in catalog() if standin.repositories]


def by_name(standin: StandIn) -> str:
    return standin.name


def real_tag(standin: StandIn) -> str:
    """A tag without a pattern in it, or one that the SDK makes."""
    plain = [tag for tag in standin.tags if "*" not in tag]
    return plain[0] if plain else standin.tags[0].replace("*", "8")


def test_the_families_of_the_issue_are_there():
    assert set(ALL) >= {
        "processing-base:py310", "sklearn:1.2-1", "sklearn:1.4-2", "xgboost:1.7-1", "xgboost:3.0-5", "pytorch:2.13",
    }  # fmt: skip


@pytest.mark.parametrize("standin", AWS, ids=by_name)
def test_an_image_is_found_in_every_region_of_the_tables(standin: StandIn):
    for repository in standin.repositories:
        accounts = public_accounts(repository)
        assert len(accounts) > 30
        for region, account in accounts.items():
            uri = parse_image_uri(f"{account}.dkr.ecr.{region}.amazonaws.com/{repository}:{real_tag(standin)}")
            assert find(uri) is standin


@pytest.mark.parametrize("standin", AWS, ids=by_name)
def test_a_private_accounts_image_of_the_same_name_has_no_stand_in(standin: StandIn):
    name = f"{standin.repositories[0]}:{real_tag(standin)}"

    assert find(parse_image_uri(f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{name}")) is None
    assert find(parse_image_uri(f"registry.example:5000/{name}")) is None


@pytest.mark.parametrize("standin", AWS, ids=by_name)
def test_a_plain_name_may_have_a_stand_in(standin: StandIn):
    assert find(parse_image_uri(f"{standin.repositories[0]}:{real_tag(standin)}")) is standin


@pytest.mark.parametrize("standin", catalog(), ids=by_name)
def test_a_stand_in_is_found_by_its_own_names(standin: StandIn):
    assert find(parse_image_uri(f"sagemaker-harness/{standin.name}")) is standin
    assert find(parse_image_uri(standin.local_tag)) is standin
    assert find(parse_image_uri(f"sagemaker-harness/{standin.name}-000000000000")) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", "sklearn:1.2-1"),
        ("141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3", "sklearn:1.4-2"),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", "xgboost:1.7-1"),
        ("246618743249.dkr.ecr.us-west-2.amazonaws.com/sagemaker-xgboost:3.0-5", "xgboost:3.0-5"),
        ("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.5.1-cpu-py311", "pytorch:2.13"),
        ("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3-cpu-py311", "pytorch:2.13"),
        ("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:1.13.1-cpu-py39", None),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:0.23-1-cpu-py3", None),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.5-1", None),
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost@sha256:" + "0" * 64, None),
        ("811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:1", None),
        ("python:3.10-slim", None),
    ],
)
def test_only_the_version_that_a_stand_in_is_made_for_is_matched(text: str, name: str | None):
    found = find(parse_image_uri(text))

    assert (found.name if found else None) == name


@pytest.mark.parametrize("standin", AWS, ids=by_name)
def test_a_stand_in_matches_a_tag_that_the_sdk_makes(standin: StandIn):
    assert any(
        standin.stands_for(parse_image_uri(f"{repository}:{tag}"))
        for repository in standin.repositories
        for tag in known_tags(repository)
    )


@pytest.mark.parametrize("standin", catalog(), ids=by_name)
def test_every_pin_has_a_source_and_is_what_is_installed(standin: StandIn):
    recipe = standin.recipe
    for pins in recipe.pins:
        assert pins.source
        for package in map(Requirement, pins.packages):
            version = recipe.locked.get(package.name.lower().replace("_", "-"))
            assert version, f"{package} is not in {recipe.requirements}"
            assert Version(version) in package.specifier, f"{package} is locked to {version}"


@pytest.mark.parametrize("standin", catalog(), ids=by_name)
def test_the_list_of_packages_names_exact_versions_only(standin: StandIn):
    lines = standin.recipe.requirements.read_text(encoding="utf-8").splitlines()
    packages = [line for line in lines if not line.startswith("#")]

    assert all("==" in line and ";" not in line for line in packages)
    assert len(packages) == len(standin.recipe.locked)


@pytest.mark.parametrize("standin", catalog(), ids=by_name)
def test_what_is_replaced_or_left_out_is_true_and_declared(standin: StandIn):
    recipe = standin.recipe
    for item in recipe.replaced:
        name, _, version = item.package.partition("==")
        assert recipe.locked[name] == version
        old, _, old_version = item.instead_of.partition("==")
        assert recipe.locked.get(old) != old_version
        assert str(item) in standin.differences
    for left_out in recipe.left_out:
        for package in left_out.packages:
            assert package.partition("==")[0] not in recipe.locked
        assert str(left_out) in standin.differences


@pytest.mark.parametrize("standin", catalog(), ids=by_name)
def test_every_stand_in_says_how_it_differs_from_the_real_image(standin: StandIn):
    assert standin.differences
    json.dumps(standin.differences)


@pytest.mark.parametrize("standin", AWS, ids=by_name)
def test_a_framework_module_is_named_only_where_its_package_is_installed(standin: StandIn):
    recipe = standin.recipe
    module = recipe.environment.get("SAGEMAKER_TRAINING_MODULE")

    assert (module is not None) == ("sagemaker-pytorch-training" in recipe.locked)
    assert any("SAGEMAKER_TRAINING_MODULE" in text for text in standin.differences) or module


@pytest.mark.parametrize("standin", AWS, ids=by_name)
def test_train_comes_from_the_real_toolkit(standin: StandIn):
    recipe = standin.recipe
    toolkit = "sagemaker-containers" if standin.family == "xgboost" else "sagemaker-training"

    assert toolkit in recipe.locked
    assert toolkit in {source.project for source in recipe.sources}
    if standin.family == "xgboost":
        assert "sagemaker-training" not in recipe.locked  # nor is it in the real image
    else:
        assert recipe.scripts["train"] == "sagemaker_training.cli.train:main"


def test_images_without_an_entrypoint_have_none_here():
    for name in ("sklearn:1.2-1", "sklearn:1.4-2", "xgboost:1.7-1", "xgboost:3.0-5", "processing-base:py310"):
        assert ALL[name].recipe.entrypoint == ()


def test_asking_for_the_catalog_imports_no_docker():
    code = (
        "import sys; from harness.engine.images.standins import catalog; catalog(); sys.exit('docker' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    images = ALL["sklearn:1.2-1"].recipe.folder.parent.parent
    shutil.copytree(images, tmp_path / "images")
    return tmp_path / "images" / "sklearn" / "1.2-1"


def hash_of(folder: Path) -> str:
    _recipes.source_distributions.cache_clear()
    return _recipes.read_recipe(folder).hash


def test_the_same_recipe_has_the_same_hash_wherever_it_is(recipe: Path):
    os.utime(recipe / "image.yaml", (0, 0))

    assert hash_of(recipe) == ALL["sklearn:1.2-1"].recipe.hash
    assert ALL["sklearn:1.2-1"].local_tag == f"sagemaker-harness/sklearn:1.2-1-{hash_of(recipe)}"


@pytest.mark.parametrize(
    "file",
    ["image.yaml", "requirements.txt", "root/etc/new", "../../shared/serve/usr/local/lib/sagemaker-harness/serve.py"],
)
def test_a_changed_recipe_has_another_hash(recipe: Path, file: str):
    before = hash_of(recipe)
    changed = recipe / file
    changed.parent.mkdir(parents=True, exist_ok=True)
    with changed.open("a", encoding="utf-8") as out:
        out.write("# changed\n")

    assert hash_of(recipe) != before


def test_another_way_to_make_a_wheel_is_another_recipe(recipe: Path):
    before = hash_of(recipe)
    table = recipe.parent.parent / "sdists.yaml"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("new: collections.abc.Mapping", "new: collections.abc.Mapping "), encoding="utf-8")
    assert hash_of(recipe) == before  # the same content, written otherwise

    table.write_text(text.replace("There is no MPI in a stand-in image.", "There is no MPI."), encoding="utf-8")
    assert hash_of(recipe) != before


def test_another_builder_makes_another_image(recipe: Path, monkeypatch: pytest.MonkeyPatch):
    before = hash_of(recipe)
    monkeypatch.setattr(_recipes, "BUILDER", "next")

    assert hash_of(recipe) != before


def test_byte_code_that_an_installer_leaves_is_no_part_of_a_recipe(recipe: Path):
    before = hash_of(recipe)
    cache = recipe.parent.parent / "shared/serve/usr/local/lib/sagemaker-harness/__pycache__"
    cache.mkdir()
    (cache / "serve.cpython-311.pyc").write_bytes(b"x")

    assert hash_of(recipe) == before


def test_a_malformed_recipe_is_named(recipe: Path):
    (recipe / "image.yaml").write_text("python: '3.10'\nnonsense: 1\n", encoding="utf-8")

    with pytest.raises(ImageError, match=r"image\.yaml is malformed"):
        _recipes.read_recipe(recipe)


def test_an_installed_package_reads_the_recipes_that_it_carries(recipe: Path, monkeypatch: pytest.MonkeyPatch):
    package = recipe.parent.parent.parent / "site-packages" / "harness"
    shutil.copytree(recipe.parent.parent, package / "_standins")
    monkeypatch.setattr(harness, "__file__", str(package / "__init__.py"))

    assert _recipes._root() == package / "_standins"
