"""Train a gradient-boosted classifier of malignant tumours.

Runs as a SageMaker training job in script mode in the XGBoost image: hyperparameters arrive as arguments, the
channels `train` and `validation` as folders named by SM_CHANNEL_TRAIN and SM_CHANNEL_VALIDATION. Each holds CSV files
with a header, the label first.

What it leaves behind:

* `<model dir>/xgboost-model.json`: the booster in XGBoost's own JSON format (`Booster.save_model`), which any later
  version of XGBoost reads. Feature names are inside it. `model_fn` below loads it for serving.
* `<output data dir>/history.json`: each metric after each round, for both channels.
* Lines such as `train-auc:0.998` in the log, which the job's metric definitions match. The last of them describes the
  model that was saved, which with early stopping is not the one of the last round.
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

import pandas as pd
import xgboost as xgb

MODEL_FILE = "xgboost-model.json"

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
logger = logging.getLogger(__name__)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # hyperparameters
    parser.add_argument("--max_depth", type=int, default=3)
    parser.add_argument("--eta", type=float, default=0.1)
    parser.add_argument("--subsample", type=float, default=0.8)
    parser.add_argument("--colsample_bytree", type=float, default=0.8)
    parser.add_argument("--num_round", type=int, default=500)
    parser.add_argument("--early_stopping_rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=42)
    # what the container tells us
    parser.add_argument("--model-dir", type=Path, default=os.environ.get("SM_MODEL_DIR", "/opt/ml/model"))
    parser.add_argument(
        "--output-data-dir", type=Path, default=os.environ.get("SM_OUTPUT_DATA_DIR", "/opt/ml/output/data")
    )
    parser.add_argument(
        "--train", type=Path, default=os.environ.get("SM_CHANNEL_TRAIN", "/opt/ml/input/data/train")
    )
    parser.add_argument(
        "--validation", type=Path, default=os.environ.get("SM_CHANNEL_VALIDATION", "/opt/ml/input/data/validation")
    )
    return parser.parse_args(argv)


def load_channel(folder):
    """All CSV files of a channel as one matrix; the first column is the label."""
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise ValueError(f"no CSV file in {folder}")
    frame = pd.concat([pd.read_csv(file, float_precision="round_trip") for file in files], ignore_index=True)
    logger.info("%s: %d rows from %d file(s)", folder.name, len(frame), len(files))
    return xgb.DMatrix(frame.iloc[:, 1:], label=frame.iloc[:, 0])


def train(args):
    """Boost until the validation loss stops falling; give back the best booster and the metrics of every round."""
    channels = {"train": load_channel(args.train), "validation": load_channel(args.validation)}
    history = {}
    booster = xgb.train(
        {
            "objective": "binary:logistic",
            "eval_metric": ["auc", "logloss"],
            "tree_method": "hist",
            "max_depth": args.max_depth,
            "eta": args.eta,
            "subsample": args.subsample,
            "colsample_bytree": args.colsample_bytree,
            "seed": args.seed,
        },
        channels["train"],
        num_boost_round=args.num_round,
        evals=[(matrix, name) for name, matrix in channels.items()],
        evals_result=history,
        callbacks=[
            xgb.callback.EarlyStopping(
                rounds=args.early_stopping_rounds, metric_name="logloss", data_name="validation", save_best=True
            )
        ],
        verbose_eval=10,
    )
    return booster, history


def main(argv=None):
    args = parse_args(argv)
    booster, history = train(args)

    best = booster.best_iteration
    metrics = {
        f"{channel}-{metric}": values[best] for channel, of in history.items() for metric, values in of.items()
    }
    logger.info("best round %d\t%s", best, "\t".join(f"{name}:{value:.5f}" for name, value in metrics.items()))

    args.model_dir.mkdir(parents=True, exist_ok=True)
    booster.save_model(str(args.model_dir / MODEL_FILE))
    args.output_data_dir.mkdir(parents=True, exist_ok=True)
    (args.output_data_dir / "history.json").write_text(json.dumps({"best_round": best, "history": history}, indent=1))
    logger.info("saved %s", args.model_dir / MODEL_FILE)


def model_fn(model_dir):
    """Load the model: the serving container calls this once per worker."""
    booster = xgb.Booster()
    booster.load_model(os.path.join(model_dir, MODEL_FILE))
    return booster


if __name__ == "__main__":
    main()
