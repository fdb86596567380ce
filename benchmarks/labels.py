"""Wrong labels: how many are found, and what their correction is worth, on real images.

One in twenty of the images is in the folder of another class, drawn at random. The list of doubtful
labels is compared with these. Then the wrong labels are corrected in data/corrections.csv: at first
those in the list, as a person does who looks at all of it, then all. Accuracies are those of the
fine-tuned model on the test images, with the labels as they are and with the true ones.
"""

import json
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import PLANTS
from benchmarks.project import SMALL, Project
from seedlings import images
from seedlings.data import corrections, sample
from seedlings.data.corrections import Decision
from seedlings.io import parts, split_table

_SHARE = 0.05  # of wrong labels
_SEED = 0
_REAL = ("folder", "segment.method=excess_green")
_ROWS = re.compile(r"(segment|extract): \d+ of \d+ rows are reused from the cache, (\d+) are")
_STAGE = re.compile(r"Running stage '(\w+)'")
_SPECIES, _IMAGES = 4, 20  # of the small benchmark


def main(*, small: bool) -> None:
    if not small and not PLANTS.is_file():
        print(f"not measured: {PLANTS.name} is absent")
        return
    with tempfile.TemporaryDirectory() as folder:
        true, wrong = Path(folder) / "true", Path(folder) / "wrong"
        labels = write_images(true, small=small)
        flipped = move_some(true, wrong, labels)
        common = (*SMALL, "data=folder", "split.validation_per_class=3") if small else _REAL
        project = Project(Path(folder) / "project", (*common, f"data.path={true}"))
        print(f"{len(labels)} images, {len(flipped)} labels are wrong")
        print(f"{'labels':<22} {'accuracy':>9} {'interval':>16} {'true labels':>12}")
        run(project, "all are right", labels, "evaluate")
        project.set((*common, f"data.path={wrong}"))
        run(project, "some are wrong", labels, "report")
        listed = check_list(project, labels, flipped)
        for name, digests in (
            ("the listed corrected", flipped & listed),
            ("all corrected", flipped),
        ):
            table = split_table.read(project.root / "data" / "split.csv")
            decisions = [
                Decision(row.digest, row.path, row.original, labels[row.digest], "benchmark")
                for row in table.itertuples()
                if row.digest in digests or row.digest in listed
            ]
            corrections.write(project.root / "data" / "corrections.csv", decisions)
            output = run(project, name, labels)
        computed = dict(_ROWS.findall(output))
        print(f"stages that ran for the last corrections: {', '.join(_STAGE.findall(output))}")
        print(f"rows computed: segment {computed['segment']}, extract {computed.get('extract', 0)}")


def write_images(target: Path, *, small: bool) -> dict[str, str]:
    """Write a folder for each class; return the true label of each image, by its digest."""
    if small:
        for number in range(_SPECIES * _IMAGES):
            path = target / f"class {number % _SPECIES}" / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture, _ = sample.draw_numbered(number % _SPECIES, number, seed=_SEED, size=64)
            path.write_bytes(images.encode_png(picture))
    else:
        with zipfile.ZipFile(PLANTS) as archive:
            archive.extractall(target.parent / "archive")
        (target.parent / "archive" / "train").rename(target)
    return {parts.digest(path.read_bytes()): path.parent.name for path in target.rglob("*.png")}


def move_some(true: Path, wrong: Path, labels: dict[str, str]) -> set[str]:
    """Copy the images, some of them into the folder of another class; return their digests."""
    shutil.copytree(true, wrong)
    classes, files = sorted(set(labels.values())), sorted(wrong.rglob("*.png"))
    rng = np.random.default_rng(_SEED)
    flipped = set()
    for place in rng.choice(len(files), round(_SHARE * len(files)), replace=False):
        path = files[place]
        flipped.add(parts.digest(path.read_bytes()))
        others = [name for name in classes if name != path.parent.name]
        path.rename(wrong / str(rng.choice(others)) / f"moved-{path.name}")
    return flipped


def run(project: Project, name: str, labels: dict[str, str], *targets: str) -> str:
    """Run the pipeline, or some stages, and print the accuracies; return the output."""
    output = project.run("dvc", "repro", *targets)
    evaluated = project.root / "reports" / "evaluate"
    scores = json.loads((evaluated / "metrics.json").read_text(encoding="utf-8"))["finetuned"]
    found = pd.read_csv(evaluated / "predictions.csv", dtype=str, keep_default_na=False)
    digests = split_table.read(project.root / "data" / "split.csv").set_index("path")["digest"]
    truth = found["path"].map(digests).map(labels)
    interval = f"{scores['accuracy_low']:.1%} to {scores['accuracy_high']:.1%}"
    print(
        f"{name:<22} {scores['accuracy']:>9.1%} {interval:>16} "
        f"{(truth == found['finetuned']).mean():>12.1%}",
        flush=True,
    )
    return output


def check_list(project: Project, labels: dict[str, str], flipped: set[str]) -> set[str]:
    """Print precision and recall of the list of doubtful labels; return its digests."""
    path = project.root / "reports" / "evaluate" / "doubtful_labels.csv"
    found = pd.read_csv(path, dtype=str, keep_default_na=False)
    listed = set(found["digest"])
    right = listed & flipped
    first = found.head(len(flipped))
    print(
        f"the list: {len(listed)} doubtful labels of {len(labels)}, precision "
        f"{len(right) / max(len(listed), 1):.1%}, recall {len(right) / len(flipped):.1%}; of its "
        f"first {len(first)}, {first['digest'].isin(flipped).mean():.1%} are wrong; its suggestion "
        f"is the true label for {_suggested(found, labels, flipped):.1%} of the wrong ones in it"
    )
    return listed


def _suggested(found: pd.DataFrame, labels: dict[str, str], flipped: set[str]) -> float:
    wrong = found[found["digest"].isin(flipped)]
    return float((wrong["suggestion"] == wrong["digest"].map(labels)).mean())
