"""A stage that writes small files: they follow from its parameters and its inputs alone.

`Project.fake_stages` puts this text in place of each script in stages/. What the launcher, DVC,
MLflow and a search do around a stage is as with the real ones.
"""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from seedlings.config.records import Record

MADE = ("data/", "models/", "reports/")
WITHOUT_EFFECT = "data.on_bad_image"  # on the sample, whose images are all good
IMAGES = 40
LABELS = ("even", "odd")
BUNDLE = {
    "task": "multiclass",
    "outputs": ["even", "odd"],
    "segment": {"pixels": [8, 8]},
    "tag_threshold": 0.5,
    "largest_distance": 1.5,
    "share_within": 0.99,
    "portable": True,
}


def main(record: Record) -> None:
    entry = yaml.safe_load(Path("dvc.yaml").read_text("utf-8"))["stages"][record.stage]
    params = {key: value for key, value in record.params.items() if key != WITHOUT_EFFECT}
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode())
    for path in (Path(dep) for dep in entry["deps"] if dep.startswith(MADE)):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(file.read_bytes())
    for out in map(Path, entry["outs"]):
        file = out if out.suffix else out / "content.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(digest.hexdigest(), "utf-8")
    numbers = [byte / 255 for byte in digest.digest()]
    for epoch in range(record.params.get(f"{record.stage}.epochs", 0)):
        names = ("loss", "val_loss", "accuracy", "val_accuracy")
        record.add_epoch({name: numbers[(epoch + at) % 32] for at, name in enumerate(names)})
    if record.stage == "finetune":
        last = {"epoch": record.epochs, "val_loss": record.curves["val_loss"][-1]}
        Path("reports/finetune/metrics.json").write_text(json.dumps({"last_epoch": last}), "utf-8")
    if record.stage == "split":
        rows = [[f"{number}.png", LABELS[number % 2], "test", number] for number in range(IMAGES)]
        write("data/split.csv", ["path", "label", "split", "group"], rows)
        record.add_metrics({"train": IMAGES})
    if record.stage == "package":
        Path("models/packaged/bundle.json").write_text(json.dumps(BUNDLE), "utf-8")
        Path("models/packaged/model.json").write_text("{}", "utf-8")
    if record.stage == "evaluate":
        evaluate(record, digest.digest())


def evaluate(record: Record, answers: bytes) -> None:
    """Add metrics and predictions: the answer for an image is a bit of the digest."""
    packaged = Path("models/packaged/content.txt").read_text("utf-8")
    Path("data/outputs.npy").write_text(packaged, "utf-8")  # which no metric changes
    rows = []
    for number in range(IMAGES):
        bits = [answers[number // 8] >> number % 8 & 1, answers[number // 8 + 8] >> number % 8 & 1]
        baseline, finetuned = (LABELS[bit] for bit in bits)
        rows.append([f"{number}.png", LABELS[number % 2], baseline, finetuned, 0.75])
    names = ["path", "label", "baseline", "finetuned", "finetuned_probability"]
    write("reports/evaluate/predictions.csv", names, rows)
    for column, name in ((2, "baseline"), (3, "finetuned")):
        share = sum(row[column] == row[1] for row in rows) / IMAGES
        record.add_metrics({f"{name}/accuracy": share})
        record.add_metrics({f"{name}/accuracy_low": share / 2, f"{name}/accuracy_high": share})
        record.add_metrics({f"{name}/log_loss": 1.0 - share})
    record.add_metrics({"images": IMAGES, "groups": IMAGES})
    Path("reports/evaluate/metrics.json").write_text(json.dumps(record.metrics), "utf-8")


def write(path: str, names: list[str], rows: list[list[Any]]) -> None:
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([names, *rows])
