"""Measure the trained model on the test set, which no training run has seen.

Runs as a SageMaker Processing job in the XGBoost image. Writes `evaluation.json` in the shape that SageMaker's model
quality metrics have (`binary_classification_metrics`), so that a condition step can read it and the model registry
can take it as it is. Standard deviations come from a bootstrap over the test set: it is small, and an AUC without its
uncertainty would say more than we know.
"""

import argparse
import json
import logging
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

MODEL_FILE = "xgboost-model.json"
CUTOFF = 0.5

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
logger = logging.getLogger(__name__)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, default=Path("/opt/ml/processing/model"))
    parser.add_argument("--test-dir", type=Path, default=Path("/opt/ml/processing/test"))
    parser.add_argument("--output-dir", type=Path, default=Path("/opt/ml/processing/evaluation"))
    parser.add_argument("--bootstrap-samples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args(argv)


def load_model(archive):
    """Read the booster out of the training job's model.tar.gz; nothing is unpacked to disk."""
    with tarfile.open(archive) as tar:
        names = {Path(member.name).as_posix(): member for member in tar.getmembers() if member.isfile()}
        if MODEL_FILE not in names:
            raise ValueError(f"{archive} holds {sorted(names)}, not {MODEL_FILE}")
        content = tar.extractfile(names[MODEL_FILE]).read()
    booster = xgb.Booster()
    booster.load_model(bytearray(content))
    return booster


def point_metrics(labels, scores):
    decisions = (scores >= CUTOFF).astype(int)
    return {
        "auc": roc_auc_score(labels, scores),
        "accuracy": accuracy_score(labels, decisions),
        "precision": precision_score(labels, decisions, zero_division=0),
        "recall": recall_score(labels, decisions, zero_division=0),
        "f1": f1_score(labels, decisions, zero_division=0),
    }


def standard_deviations(labels, scores, samples, seed):
    """Spread of each metric over resampled test sets. Malignant and benign rows are drawn apart, so that every
    sample has both."""
    random = np.random.RandomState(seed)
    groups = [np.flatnonzero(labels == value) for value in (0, 1)]
    drawn = []
    for _ in range(samples):
        rows = np.concatenate([random.choice(group, size=len(group)) for group in groups])
        drawn.append(point_metrics(labels[rows], scores[rows]))
    return pd.DataFrame(drawn).std(ddof=1)


def evaluate(labels, scores, samples, seed):
    spread = standard_deviations(labels, scores, samples, seed)
    metrics = {
        name: {"value": float(value), "standard_deviation": float(spread[name])}
        for name, value in point_metrics(labels, scores).items()
    }
    matrix = confusion_matrix(labels, (scores >= CUTOFF).astype(int), labels=[0, 1])
    metrics["confusion_matrix"] = {
        str(true): {str(predicted): int(matrix[true, predicted]) for predicted in (0, 1)} for true in (0, 1)
    }
    false_positive_rates, true_positive_rates, _ = roc_curve(labels, scores)
    metrics["receiver_operating_characteristic_curve"] = {
        "false_positive_rates": false_positive_rates.tolist(),
        "true_positive_rates": true_positive_rates.tolist(),
    }
    return {"dataset": {"item_count": len(labels)}, "binary_classification_metrics": metrics}


def main(argv=None):
    args = parse_args(argv)
    booster = load_model(args.model_dir / "model.tar.gz")
    test = pd.read_csv(args.test_dir / "test.csv", float_precision="round_trip")
    labels = test.iloc[:, 0].to_numpy()
    scores = booster.predict(xgb.DMatrix(test.iloc[:, 1:]))

    report = evaluate(labels, scores, args.bootstrap_samples, args.seed)
    for name in ("auc", "accuracy", "precision", "recall", "f1"):
        metric = report["binary_classification_metrics"][name]
        logger.info("%s: %.4f (standard deviation %.4f)", name, metric["value"], metric["standard_deviation"])

    args.output_dir.mkdir(parents=True, exist_ok=True)
    (args.output_dir / "evaluation.json").write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
