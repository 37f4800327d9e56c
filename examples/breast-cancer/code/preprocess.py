"""Split the Wisconsin breast-cancer measurements into train, validation and test sets.

Runs as a SageMaker Processing job in the scikit-learn image. Reads one CSV file with the columns that scikit-learn
ships (30 measurements and `target`, where 0 is malignant and 1 is benign) and writes one CSV file with a header per
split. In each the label comes first: `malignant`, 1 for a malignant tumour, so that the class we look for is the
positive one.

Nothing is fitted on the data here: trees need no scaling, and so nothing can leak from the test set.
"""

import argparse
import logging
import sys
from pathlib import Path

import pandas as pd
from sklearn.model_selection import train_test_split

LABEL = "malignant"
MEASUREMENTS = 30
SPLITS = ("train", "validation", "test")

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
logger = logging.getLogger(__name__)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input-dir", type=Path, default=Path("/opt/ml/processing/input/data"))
    parser.add_argument("--output-dir", type=Path, default=Path("/opt/ml/processing/output"))
    parser.add_argument("--validation-fraction", type=float, default=0.2)
    parser.add_argument("--test-fraction", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args(argv)
    if not 0 < args.validation_fraction + args.test_fraction < 1:
        parser.error("the validation and test fractions must leave something to train on")
    return args


def read_measurements(folder):
    """Read the only CSV file of the folder and check that it is what the rest of the pipeline expects."""
    files = sorted(folder.glob("*.csv"))
    if len(files) != 1:
        raise ValueError(f"expected one CSV file in {folder}, found {[f.name for f in files]}")
    # round_trip: the same text gives the same float whatever the version of pandas
    frame = pd.read_csv(files[0], float_precision="round_trip")
    frame.columns = [name.strip().replace(" ", "_") for name in frame.columns]

    if "target" not in frame.columns:
        raise ValueError(f"{files[0].name} has no column 'target'")
    if len(frame.columns) != MEASUREMENTS + 1:
        raise ValueError(f"{files[0].name} has {len(frame.columns) - 1} measurements, expected {MEASUREMENTS}")
    if frame.isna().any().any():
        raise ValueError(f"missing values in {frame.columns[frame.isna().any()].tolist()}")
    if not frame["target"].isin([0, 1]).all():
        raise ValueError(f"'target' must be 0 or 1, found {sorted(frame['target'].unique())}")
    return frame


def put_label_first(frame):
    """Replace `target` (0 = malignant) by the label `malignant` (1 = malignant) as the first column."""
    measurements = frame.drop(columns="target")
    measurements.insert(0, LABEL, 1 - frame["target"])
    return measurements


def split(frame, validation_fraction, test_fraction, seed):
    """Three disjoint sets, each with the same share of malignant tumours."""
    rest, test = train_test_split(frame, test_size=test_fraction, stratify=frame[LABEL], random_state=seed)
    share_of_rest = validation_fraction / (1 - test_fraction)
    train, validation = train_test_split(rest, test_size=share_of_rest, stratify=rest[LABEL], random_state=seed)
    return dict(zip(SPLITS, (train, validation, test)))


def main(argv=None):
    args = parse_args(argv)
    frame = read_measurements(args.input_dir)
    rows = len(frame)
    # the same measurements on both sides of a split would flatter the model
    frame = frame.drop_duplicates()
    logger.info("read %d rows, dropped %d duplicates", rows, rows - len(frame))

    for name, part in split(put_label_first(frame), args.validation_fraction, args.test_fraction, args.seed).items():
        folder = args.output_dir / name
        folder.mkdir(parents=True, exist_ok=True)
        part.to_csv(folder / f"{name}.csv", index=False)
        logger.info("%s: %d rows, %.1f %% malignant", name, len(part), 100 * part[LABEL].mean())


if __name__ == "__main__":
    main()
