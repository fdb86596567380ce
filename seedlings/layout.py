"""Where things are: every path that a stage reads or writes, relative to the project's root."""

from pathlib import Path

RAW = Path("data/raw")
SPLIT = Path("data/split.csv")
IMAGES = Path("data/images")
FEATURES = Path("data/features")
BACKBONE = Path("models/backbone")
BASELINE = Path("models/baseline")
FINETUNED = Path("models/finetuned")
PACKAGED = Path("models/packaged")
REPORTS = Path("reports")
PAGE = REPORTS / "index.html"
PIPELINE = Path("dvc.yaml")
LOCK = Path("dvc.lock")
PARAMS = Path("params.yaml")
CONF = Path("conf")


def report(stage: str) -> Path:
    """The folder of a stage's record, tables and pictures."""
    return REPORTS / stage


def record(stage: str) -> Path:
    """The file of a stage's record."""
    return report(stage) / "record.json"
