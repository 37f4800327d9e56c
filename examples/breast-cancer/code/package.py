"""Bundle an accepted model with its model card.

Runs as a SageMaker Processing job in the scikit-learn image, after the condition on the metric. Leaves three files in
one folder: `model.tar.gz` byte for byte as training made it, `model_card.json` for programs and `model_card.md` for
people. XGBoost is not needed (and not in this image): the archive is looked into, not loaded.
"""

import argparse
import hashlib
import json
import logging
import shutil
import sys
import tarfile
from pathlib import Path

MODEL_FILE = "xgboost-model.json"
METRICS = ("auc", "accuracy", "precision", "recall", "f1")

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
logger = logging.getLogger(__name__)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, default=Path("/opt/ml/processing/model"))
    parser.add_argument("--evaluation-dir", type=Path, default=Path("/opt/ml/processing/evaluation"))
    parser.add_argument("--output-dir", type=Path, default=Path("/opt/ml/processing/package"))
    parser.add_argument("--auc-threshold", type=float, required=True)
    parser.add_argument("--execution-id", required=True)
    return parser.parse_args(argv)


def read_features(archive):
    """The names of the model's features; also the proof that the archive holds a model."""
    with tarfile.open(archive) as tar:
        names = {Path(member.name).as_posix(): member for member in tar.getmembers() if member.isfile()}
        if MODEL_FILE not in names:
            raise ValueError(f"{archive} holds {sorted(names)}, not {MODEL_FILE}")
        return json.load(tar.extractfile(names[MODEL_FILE]))["learner"]["feature_names"]


def model_card(archive, evaluation, auc_threshold, execution_id):
    metrics = evaluation["binary_classification_metrics"]
    return {
        "model_overview": {
            "model_name": "breast-cancer",
            "problem_type": "Binary classification",
            "algorithm_type": "XGBoost, gradient-boosted trees",
            "pipeline_execution": execution_id,
            "artifact": {
                "file": archive.name,
                "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
                "model_file": MODEL_FILE,
            },
            "features": read_features(archive),
        },
        "intended_uses": {
            "purpose_of_model": "Shows a pipeline from measurements to a packaged model.",
            "intended_uses": "Demonstration and tests. Not a medical device, not for any decision about a patient.",
        },
        "training_details": {
            "training_data": "Breast Cancer Wisconsin (Diagnostic), as shipped with scikit-learn",
            "label": "malignant: 1 = malignant, 0 = benign",
        },
        "evaluation_details": {
            "data": "Stratified holdout that neither training nor early stopping has seen",
            "item_count": evaluation["dataset"]["item_count"],
            "auc_threshold": auc_threshold,
            "metrics": {name: metrics[name] for name in METRICS},
            "confusion_matrix": metrics["confusion_matrix"],
        },
    }


def as_markdown(card):
    overview, results = card["model_overview"], card["evaluation_details"]
    matrix = results["confusion_matrix"]
    lines = [
        f"# Model card: {overview['model_name']}",
        "",
        f"{overview['algorithm_type']}. {card['intended_uses']['purpose_of_model']}",
        "",
        f"**Intended use:** {card['intended_uses']['intended_uses']}",
        "",
        f"**Data:** {card['training_details']['training_data']}; label {card['training_details']['label']}.",
        "",
        f"## Evaluation on {results['item_count']} held-out rows",
        "",
        "| metric | value | standard deviation |",
        "| --- | ---: | ---: |",
    ]
    for name, metric in results["metrics"].items():
        lines.append(f"| {name} | {metric['value']:.4f} | {metric['standard_deviation']:.4f} |")
    lines += [
        "",
        f"Accepted because the AUC is at least {results['auc_threshold']}.",
        "",
        "| | called benign | called malignant |",
        "| --- | ---: | ---: |",
        f"| is benign | {matrix['0']['0']} | {matrix['0']['1']} |",
        f"| is malignant | {matrix['1']['0']} | {matrix['1']['1']} |",
        "",
        "## Artefact",
        "",
        f"`{overview['artifact']['file']}` (SHA-256 `{overview['artifact']['sha256']}`), made by pipeline execution "
        f"`{overview['pipeline_execution']}`. It holds `{overview['artifact']['model_file']}`, a booster over "
        f"{len(overview['features'])} features in XGBoost's JSON format.",
        "",
    ]
    return "\n".join(lines)


def main(argv=None):
    args = parse_args(argv)
    archive = args.model_dir / "model.tar.gz"
    evaluation = json.loads((args.evaluation_dir / "evaluation.json").read_text())
    card = model_card(archive, evaluation, args.auc_threshold, args.execution_id)

    args.output_dir.mkdir(parents=True, exist_ok=True)
    shutil.copy(str(archive), str(args.output_dir / archive.name))
    (args.output_dir / "model_card.json").write_text(json.dumps(card, indent=2))
    (args.output_dir / "model_card.md").write_text(as_markdown(card))
    for file in sorted(args.output_dir.iterdir()):
        logger.info("%s: %d bytes", file.name, file.stat().st_size)


if __name__ == "__main__":
    main()
