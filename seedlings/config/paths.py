"""Paths that stages read and write, relative to the project's root."""

from pathlib import Path

RAW = Path("data/raw")
CORRECTIONS = Path("data/corrections.csv")  # by people, in Git
SPLIT = Path("data/split.csv")
DECIDED = Path("data/decided.csv")  # the labels that people have decided
IMAGES = Path("data/images")
FEATURES = Path("data/features")
OUTPUTS = Path("data/outputs.npy")  # of the fine-tuned model, for the evaluated images
BACKBONE = Path("models/backbone")
BASELINE = Path("models/baseline")
FINETUNED = Path("models/finetuned")
PACKAGED = Path("models/packaged")
BUNDLE = "bundle.json"  # inside PACKAGED
REPORTS = Path("reports")
PAGE = REPORTS / "index.html"
MODEL_CARD = REPORTS / "model_card.md"
PIPELINE = Path("dvc.yaml")
LOCK = Path("dvc.lock")
PARAMS = Path("params.yaml")
CONF = Path("conf")


def home() -> Path:
    """Return the project's root, also inside a temporary folder of a DVC experiment."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if folder.name == ".dvc" and "tmp" in here.relative_to(folder).parts[:1]:
            return folder.parent
    return here


def report(stage: str) -> Path:
    """Return the folder of a stage's record, tables and pictures."""
    return REPORTS / stage


def record(stage: str) -> Path:
    """Return the file of a stage's record."""
    return report(stage) / "record.json"
