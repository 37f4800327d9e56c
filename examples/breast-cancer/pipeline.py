# ruff: noqa: INP001 (a script beside its data, not a package)
"""The breast-cancer pipeline, written with the SageMaker Python SDK v2.

    Preprocess -> Train -> Evaluate -> CheckAUC -+-> Package
                                                 +-> AUCTooLow (fails the execution)

On AWS: `get_pipeline(role=..., bucket=...).upsert(role_arn=...)`. Locally: `generate.py` turns it into `pipeline.json`,
which the harness runs.
"""

from __future__ import annotations

from pathlib import Path

import boto3
from sagemaker.inputs import TrainingInput
from sagemaker.processing import ProcessingInput, ProcessingOutput, ScriptProcessor
from sagemaker.sklearn.processing import SKLearnProcessor
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import ConditionGreaterThanOrEqualTo
from sagemaker.workflow.execution_variables import ExecutionVariables
from sagemaker.workflow.fail_step import FailStep
from sagemaker.workflow.functions import Join, JsonGet
from sagemaker.workflow.parameters import ParameterFloat, ParameterInteger, ParameterString
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.properties import PropertyFile
from sagemaker.workflow.steps import ProcessingStep, TrainingStep
from sagemaker.xgboost.estimator import XGBoost

NAME = "breast-cancer"
REGION = "us-east-1"
BUCKET = "sagemaker-us-east-1-111122223333"
ROLE = "arn:aws:iam::111122223333:role/SageMakerPipelineRole"
SKLEARN_VERSION = "1.2-1"
XGBOOST_VERSION = "3.0-5"
CODE_DIR = str(Path(__file__).resolve().parent / "code")


def get_session(region: str = REGION, bucket: str = BUCKET, sagemaker_config: dict | None = None) -> PipelineSession:
    """Give a session that records requests instead of sending them."""
    return PipelineSession(
        boto_session=boto3.Session(region_name=region), default_bucket=bucket, sagemaker_config=sagemaker_config
    )


def get_pipeline(
    session: PipelineSession | None = None, role: str = ROLE, bucket: str = BUCKET, code_dir: str = CODE_DIR
) -> Pipeline:
    """Define the pipeline; nothing is uploaded before its definition is asked for."""
    session = session or get_session(bucket=bucket)

    input_data = ParameterString(name="InputDataUri", default_value=f"s3://{bucket}/{NAME}/data/breast_cancer.csv")
    auc_threshold = ParameterFloat(name="AUCThreshold", default_value=0.95)
    instance_type = ParameterString(name="InstanceType", default_value="ml.m5.large")
    max_depth = ParameterInteger(name="MaxDepth", default_value=3)
    num_round = ParameterInteger(name="NumRound", default_value=500)
    eta = ParameterFloat(name="Eta", default_value=0.1)

    def run_uri(*folders: str) -> Join:
        # a folder per execution: runs do not overwrite each other
        run = ["s3:/", bucket, NAME, "runs", ExecutionVariables.PIPELINE_EXECUTION_ID]
        return Join(on="/", values=[*run, *folders])

    # Preprocess: one CSV file in, three disjoint sets out
    sklearn_processor = SKLearnProcessor(
        framework_version=SKLEARN_VERSION,
        role=role,
        instance_type=instance_type,
        instance_count=1,
        max_runtime_in_seconds=1800,
        sagemaker_session=session,
    )
    preprocess = ProcessingStep(
        name="Preprocess",
        display_name="Split into train, validation and test",
        step_args=sklearn_processor.run(
            code=f"{code_dir}/preprocess.py",
            arguments=["--validation-fraction", "0.2", "--test-fraction", "0.2", "--seed", "42"],
            inputs=[ProcessingInput(input_name="data", source=input_data, destination="/opt/ml/processing/input/data")],
            outputs=[
                ProcessingOutput(
                    output_name=split,
                    source=f"/opt/ml/processing/output/{split}",
                    destination=run_uri("preprocess", split),
                )
                for split in ("train", "validation", "test")
            ],
        ),
    )
    splits = preprocess.properties.ProcessingOutputConfig.Outputs

    # Train: script mode, without network, so that the code travels as a channel of its own
    estimator = XGBoost(
        entry_point="train.py",
        source_dir=f"{code_dir}/train",
        framework_version=XGBOOST_VERSION,
        role=role,
        instance_type=instance_type,
        instance_count=1,
        max_run=1800,
        output_path=run_uri("train"),
        enable_network_isolation=True,
        hyperparameters={
            "max_depth": max_depth,
            "num_round": num_round,
            "eta": eta,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
            "early_stopping_rounds": 20,
            "seed": 42,
        },
        metric_definitions=[
            {"Name": "train:auc", "Regex": r"train-auc:([0-9\.]+)"},
            {"Name": "validation:auc", "Regex": r"validation-auc:([0-9\.]+)"},
            {"Name": "validation:logloss", "Regex": r"validation-logloss:([0-9\.]+)"},
        ],
        disable_profiler=True,
        debugger_hook_config=False,
        sagemaker_session=session,
    )
    train = TrainingStep(
        name="Train",
        display_name="Train XGBoost",
        step_args=estimator.fit(
            {
                channel: TrainingInput(splits[channel].S3Output.S3Uri, content_type="text/csv")
                for channel in ("train", "validation")
            }
        ),
    )
    model_artifacts = train.properties.ModelArtifacts.S3ModelArtifacts

    # Evaluate: on the test set, which training has not seen
    xgboost_processor = ScriptProcessor(
        image_uri=estimator.training_image_uri(),
        command=["python3"],
        role=role,
        instance_type=instance_type,
        instance_count=1,
        max_runtime_in_seconds=1800,
        sagemaker_session=session,
    )
    evaluation_report = PropertyFile(name="EvaluationReport", output_name="evaluation", path="evaluation.json")
    evaluate = ProcessingStep(
        name="Evaluate",
        display_name="Evaluate on the test set",
        step_args=xgboost_processor.run(
            code=f"{code_dir}/evaluate.py",
            inputs=[
                ProcessingInput(input_name="model", source=model_artifacts, destination="/opt/ml/processing/model"),
                ProcessingInput(
                    input_name="test", source=splits["test"].S3Output.S3Uri, destination="/opt/ml/processing/test"
                ),
            ],
            outputs=[
                ProcessingOutput(
                    output_name="evaluation",
                    source="/opt/ml/processing/evaluation",
                    destination=run_uri("evaluate"),
                )
            ],
        ),
        property_files=[evaluation_report],
    )
    auc = JsonGet(
        step_name=evaluate.name,
        property_file=evaluation_report,
        json_path="binary_classification_metrics.auc.value",
    )

    # Package the model, or fail and say why
    package = ProcessingStep(
        name="Package",
        display_name="Bundle model and model card",
        step_args=sklearn_processor.run(
            code=f"{code_dir}/package.py",
            arguments=[
                "--auc-threshold",
                auc_threshold.to_string(),
                "--execution-id",
                ExecutionVariables.PIPELINE_EXECUTION_ID,
            ],
            inputs=[
                ProcessingInput(input_name="model", source=model_artifacts, destination="/opt/ml/processing/model"),
                ProcessingInput(
                    input_name="evaluation",
                    source=evaluate.properties.ProcessingOutputConfig.Outputs["evaluation"].S3Output.S3Uri,
                    destination="/opt/ml/processing/evaluation",
                ),
            ],
            outputs=[
                ProcessingOutput(
                    output_name="package", source="/opt/ml/processing/package", destination=run_uri("package")
                )
            ],
        ),
    )
    auc_too_low = FailStep(
        name="AUCTooLow",
        error_message=Join(on=" ", values=["The AUC on the test set is", auc, "but must be at least", auc_threshold]),
    )
    check = ConditionStep(
        name="CheckAUC",
        display_name="Is the AUC good enough?",
        conditions=[ConditionGreaterThanOrEqualTo(left=auc, right=auc_threshold)],
        if_steps=[package],
        else_steps=[auc_too_low],
    )

    return Pipeline(
        name=NAME,
        parameters=[input_data, auc_threshold, instance_type, max_depth, num_round, eta],
        steps=[preprocess, train, evaluate, check],
        sagemaker_session=session,
    )
