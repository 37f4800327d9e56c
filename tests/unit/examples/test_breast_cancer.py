"""The committed breast-cancer example: what its files promise each other, without running them."""

from __future__ import annotations

import ast
import csv
import json
import re
from pathlib import Path, PurePosixPath

import pytest
import yaml

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "breast-cancer"
SCRIPTS = ["preprocess.py", "train/train.py", "evaluate.py", "package.py"]
SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5"
IMAGES = {"Preprocess": SKLEARN, "Train": XGBOOST, "Evaluate": XGBOOST, "Package": SKLEARN}


def _flatten(steps):
    for step in steps:
        yield step
        arguments = step.get("Arguments", {})
        yield from _flatten(arguments.get("IfSteps", []) + arguments.get("ElseSteps", []))


@pytest.fixture(scope="module")
def definition():
    return json.loads((EXAMPLE / "pipeline.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def steps(definition):
    return {step["Name"]: step for step in _flatten(definition["Steps"])}


@pytest.fixture(scope="module")
def inputs():
    settings = yaml.safe_load((EXAMPLE / "harness.yaml").read_text(encoding="utf-8"))
    assert settings["name"] == "breast-cancer"
    assert settings.keys() <= {"name", "inputs", "parameters", "images"}
    return settings["inputs"]


def _read_uris(step):
    arguments = step["Arguments"]
    for each in arguments.get("ProcessingInputs", []):
        yield each["S3Input"]["S3Uri"]
    for channel in arguments.get("InputDataConfig", []):
        yield channel["DataSource"]["S3DataSource"]["S3Uri"]


def _outputs(step):
    return {each["OutputName"]: each["S3Output"] for each in step["Arguments"]["ProcessingOutputConfig"]["Outputs"]}


def _external_uris(definition, steps):
    """URIs that steps read and no step writes."""
    defaults = {f"Parameters.{each['Name']}": each["DefaultValue"] for each in definition["Parameters"]}
    uris = set()
    for step in steps.values():
        for uri in _read_uris(step):
            if isinstance(uri, str):
                uris.add(uri)
            elif uri["Get"] in defaults:
                uris.add(defaults[uri["Get"]])
    return uris


def _options(script):
    """The options that a script's argument parser knows."""
    calls = (node for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
    }


def test_definition_has_the_version_that_the_service_takes(definition):
    assert definition["Version"] == "2020-12-01"


def test_every_parameter_has_a_default_so_that_it_runs_as_it_is(definition):
    assert all("DefaultValue" in each for each in definition["Parameters"])


def test_steps_and_their_kinds(definition, steps):
    assert {name: step["Type"] for name, step in steps.items()} == {
        "Preprocess": "Processing",
        "Train": "Training",
        "Evaluate": "Processing",
        "CheckAUC": "Condition",
        "Package": "Processing",
        "AUCTooLow": "Fail",
    }
    assert [step["Name"] for step in definition["Steps"]] == ["Preprocess", "Train", "Evaluate", "CheckAUC"]
    branches = steps["CheckAUC"]["Arguments"]
    assert [step["Name"] for step in branches["IfSteps"]] == ["Package"]
    assert [step["Name"] for step in branches["ElseSteps"]] == ["AUCTooLow"]


def test_every_object_that_no_step_writes_stands_for_a_local_source(definition, steps, inputs):
    assert _external_uris(definition, steps) == set(inputs)
    for uri, source in inputs.items():
        path = EXAMPLE / source
        assert not Path(source).is_absolute(), source
        assert path.is_dir() if uri.endswith(".tar.gz") else path.is_file(), source


def test_local_sources_stay_inside_the_example(inputs):
    for source in inputs.values():
        assert (EXAMPLE / source).resolve().is_relative_to(EXAMPLE), source


def test_references_name_outputs_that_exist(steps):
    for step in steps.values():
        for uri in _read_uris(step):
            get = uri["Get"] if isinstance(uri, dict) else ""
            if not get.startswith("Steps."):
                continue
            producer, path = get.removeprefix("Steps.").split(".", 1)
            if path == "ModelArtifacts.S3ModelArtifacts":
                assert steps[producer]["Type"] == "Training"
                continue
            match = re.fullmatch(r"ProcessingOutputConfig\.Outputs\['(\w+)'\]\.S3Output\.S3Uri", path)
            assert match, get
            assert match[1] in _outputs(steps[producer])


def test_images_are_the_public_ones(steps):
    found = {}
    for name, step in steps.items():
        arguments = step["Arguments"]
        if step["Type"] == "Processing":
            found[name] = arguments["AppSpecification"]["ImageUri"]
        elif step["Type"] == "Training":
            found[name] = arguments["AlgorithmSpecification"]["TrainingImage"]
    assert found == IMAGES


def test_outputs_go_to_a_folder_per_execution(steps):
    uris = [
        output["S3Uri"] for step in steps.values() if step["Type"] == "Processing" for output in _outputs(step).values()
    ]
    uris.append(steps["Train"]["Arguments"]["OutputDataConfig"]["S3OutputPath"])
    for uri in uris:
        assert {"Get": "Execution.PipelineExecutionId"} in uri["Std:Join"]["Values"]
    assert len({json.dumps(uri) for uri in uris}) == len(uris)


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_in_the_syntax_of_the_oldest_image(script):
    ast.parse((EXAMPLE / "code" / script).read_text(encoding="utf-8"), filename=script, feature_version=(3, 8))


@pytest.mark.parametrize("name", ["Preprocess", "Evaluate", "Package"])
def test_processing_steps_start_the_script_that_they_bring(steps, inputs, name):
    arguments = steps[name]["Arguments"]
    code = next(each["S3Input"] for each in arguments["ProcessingInputs"] if each["InputName"] == "code")
    started = PurePosixPath(arguments["AppSpecification"]["ContainerEntrypoint"][-1])
    assert str(started.parent) == code["LocalPath"]
    assert started.name == PurePosixPath(code["S3Uri"]).name == Path(inputs[code["S3Uri"]]).name


@pytest.mark.parametrize("name", ["Preprocess", "Evaluate", "Package"])
def test_scripts_use_the_paths_and_arguments_of_their_steps(steps, name):
    arguments = steps[name]["Arguments"]
    script = EXAMPLE / "code" / PurePosixPath(arguments["AppSpecification"]["ContainerEntrypoint"][-1]).name
    text = script.read_text(encoding="utf-8")
    paths = [each["S3Input"]["LocalPath"] for each in arguments["ProcessingInputs"] if each["InputName"] != "code"]
    paths += [output["LocalPath"] for output in _outputs(steps[name]).values()]
    for path in map(PurePosixPath, paths):
        # Preprocess writes its three outputs below one folder
        assert f'"{path}"' in text or f'"{path.parent}"' in text, path
    given = arguments["AppSpecification"].get("ContainerArguments", [])
    options = {each for each in given if isinstance(each, str) and each.startswith("--")}
    assert options <= _options(script)


def test_training_gets_its_code_without_network(steps, inputs):
    arguments = steps["Train"]["Arguments"]
    parameters = arguments["HyperParameters"]
    channels = {each["ChannelName"]: each["DataSource"]["S3DataSource"] for each in arguments["InputDataConfig"]}
    assert set(channels) == {"train", "validation", "code"}
    assert arguments["EnableNetworkIsolation"] is True
    assert json.loads(parameters["sagemaker_submit_directory"]) == "/opt/ml/input/data/code/sourcedir.tar.gz"
    source = EXAMPLE / inputs[channels["code"]["S3Uri"]]
    assert (source / json.loads(parameters["sagemaker_program"])).is_file()


def test_training_script_knows_every_hyperparameter(steps):
    names = {name for name in steps["Train"]["Arguments"]["HyperParameters"] if not name.startswith("sagemaker_")}
    assert {f"--{name}" for name in names} <= _options(EXAMPLE / "code" / "train" / "train.py")


def test_metric_definitions_match_what_training_prints(steps):
    lines = [
        "[10]\ttrain-auc:0.99785\ttrain-logloss:0.22000\tvalidation-auc:0.97756\tvalidation-logloss:0.26631",
        "INFO best round 9\ttrain-auc:0.99785\tvalidation-auc:0.97756\tvalidation-logloss:0.26631",
    ]
    definitions = steps["Train"]["Arguments"]["AlgorithmSpecification"]["MetricDefinitions"]
    for line in lines:
        found = {each["Name"]: re.findall(each["Regex"], line) for each in definitions}
        assert found == {
            "train:auc": ["0.99785"],
            "validation:auc": ["0.97756"],
            "validation:logloss": ["0.26631"],
        }


def test_condition_reads_the_auc_that_evaluate_reports(definition, steps):
    (condition,) = steps["CheckAUC"]["Arguments"]["Conditions"]
    assert condition["Type"] == "GreaterThanOrEqualTo"
    assert condition["RightValue"] == {"Get": "Parameters.AUCThreshold"}
    assert condition["LeftValue"]["Std:JsonGet"] == {
        "PropertyFile": {"Get": "Steps.Evaluate.PropertyFiles.EvaluationReport"},
        "Path": "binary_classification_metrics.auc.value",
    }
    (report,) = steps["Evaluate"]["PropertyFiles"]
    assert report == {"PropertyFileName": "EvaluationReport", "OutputName": "evaluation", "FilePath": "evaluation.json"}
    assert "evaluation" in _outputs(steps["Evaluate"])
    defaults = {each["Name"]: each["DefaultValue"] for each in definition["Parameters"]}
    assert 0.5 < defaults["AUCThreshold"] < 0.99


def test_data_is_what_scikit_learn_ships():
    with (EXAMPLE / "data" / "breast_cancer.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert len(header) == 31
    assert header[0] == "mean radius"
    assert header[-1] == "target"
    assert len(rows) == 569
    labels = [row[-1] for row in rows]
    assert (labels.count("0"), labels.count("1")) == (212, 357)
    assert all(float(value) >= 0 for row in rows for value in row)
