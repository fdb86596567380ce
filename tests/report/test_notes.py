from typing import Any

import pytest

from seedlings.config.records import Record
from seedlings.report import notes
from seedlings.report.notes import Note

METRICS = {
    "finetuned/accuracy": 0.8,
    "finetuned/accuracy_low": 0.72,
    "finetuned/accuracy_high": 0.86,
    "baseline/accuracy": 0.4,
    "majority/accuracy": 0.1,
    "mcnemar/p_value": 0.001,
    "images": 90.0,
    "groups": 80.0,
}
ERRORS = {
    "finetuned/mae": 2.0,
    "finetuned/mae_low": 1.8,
    "finetuned/mae_high": 2.4,
    "baseline/mae": 4.0,
    "mean/mae": 6.0,
    "wilcoxon/p_value": 0.001,
    "images": 90.0,
}
CURVES = {
    "loss": [2.0, 1.0, 0.2],
    "accuracy": [0.2, 0.68, 0.99],
    "val_loss": [2.0, 1.5, 1.9],
    "val_accuracy": [0.2, 0.33, 0.32],
}
COUNTS = {"images": 1440.0, "classes": 12.0, "train": 1100.0, "validation": 144.0, "test": 196.0}


def records(**changes: dict[str, Any]) -> dict[str, Record]:
    """Records without a reason for a warning, but for the changes: the fields of some stages."""
    found = {stage: Record(stage) for stage in notes.STAGES}
    found["evaluate"].metrics = METRICS
    found["extract"].params = {"extract.backbone": "VGG16", "extract.weights": "imagenet"}
    for stage, fields in changes.items():
        for name, value in fields.items():
            setattr(found[stage], name, value)
    return found


def distances(expected_share: float) -> dict[str, Any]:
    params = {"package.out_of_distribution_share": 0.01}
    metrics = {"out_of_distribution/expected_share": expected_share}
    return {"package": {"params": params, "metrics": metrics}}


def unreliable(reliable: bool) -> dict[str, Any]:
    counts = {"listed": 180, "decided": 6, "checked": 340, "agreeing": 160, "reliable": reliable}
    return {"evaluate": {"details": {"doubtful_labels": counts}}}


def weights(backbone: str) -> dict[str, Any]:
    return {"extract": {"params": {"extract.backbone": backbone, "extract.weights": "random"}}}


def evaluated(metrics: dict[str, float], **changes: float) -> dict[str, Any]:
    return {
        "evaluate": {"metrics": metrics | {k.replace("__", "/"): v for k, v in changes.items()}}
    }


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({}, ""),
        (weights("VGG16"), "The weights of the backbone are random (extract.weights)"),
        (weights("none"), ""),
        (
            {"finetune": {"curves": CURVES}},
            "Overfitting: in epoch 2, with the lowest validation loss, the accuracy is 0.68 in "
            "training and 0.33 in validation.",
        ),
        ({"finetune": {"curves": CURVES | {"val_accuracy": [0.2, 0.5, 0.5]}}}, ""),
        ({"finetune": {"curves": {"loss": [1.0], "mean_absolute_error": [9.0]}}}, ""),
        (evaluated(METRICS), ""),
        (
            evaluated(METRICS, finetuned__accuracy=0.4),
            "The fine-tuned model is not better than the baseline: accuracy 0.4 and 0.4. Check",
        ),
        (
            evaluated(METRICS, finetuned__accuracy=0.1, baseline__accuracy=0.05),
            "The fine-tuned model is not better than a model that sees no image and always "
            "predicts what is most frequent: accuracy 0.1 and 0.1.",
        ),
        (
            evaluated(METRICS, mcnemar__p_value=0.061),
            "The fine-tuned model is better than the baseline on these images, but this can be "
            "chance (p = 0.061).",
        ),
        (evaluated(METRICS, mcnemar__p_value=0.049), ""),
        (
            evaluated(METRICS, finetuned__accuracy_low=0.6),
            "90 test images in 80 groups are few: the interval of the accuracy is 0.6 to 0.86.",
        ),
        (evaluated(ERRORS), ""),
        (
            evaluated(ERRORS, finetuned__mae=4.0),
            "The fine-tuned model is not better than the baseline: MAE 4 and 4.",
        ),
        (
            evaluated(ERRORS, finetuned__mae_high=4.0),
            "90 test images are few: the interval of the MAE is 1.8 to 4.",
        ),
        (
            unreliable(reliable=False),
            "The list of doubtful labels is not reliable: 186 of 340 labels are doubtful, because "
            "the model gives only 47% of the images their label.",
        ),
        (unreliable(reliable=True), ""),
        (
            distances(expected_share=0.0167),
            "There are too few validation images to name 1.00% of new images like them "
            "out-of-distribution (package.out_of_distribution_share): 1.67% are expected. "
            "99 validation images are enough",
        ),
        (distances(expected_share=0.01), ""),
    ],
)
def test_a_warning_says_what_limits_the_result(changes: dict[str, Any], start: str) -> None:
    found = notes.warnings(records(**changes))
    assert len(found) == bool(start)
    assert "".join(found).startswith(start)


def test_all_warnings_are_shown() -> None:
    changes = weights("VGG16") | {"finetune": {"curves": CURVES}}
    changes |= evaluated(METRICS, finetuned__accuracy_low=0.1, mcnemar__p_value=0.5)
    assert len(notes.warnings(records(**changes))) == 4


@pytest.mark.parametrize(
    ("task", "params", "line"),
    [
        ("multiclass", {"source": "sample", "path": "data/incoming"}, "sample: 1,440 images of 12"),
        (
            "multiclass",
            {"source": "folder", "path": "/home/ada/wild plants", "folder": "a/train"},
            "folder wild plants train: 1,440 images of 12 classes (1,100 train, 144 validation, "
            "196 test)",
        ),
        (
            "multilabel",
            {"source": "archive", "path": "x", "url": "https://user@example.org/d/p.zip?key=1"},
            "archive p.zip: 1,440 images of 12 tags (1,100",
        ),
        ("regression", {"source": "folder", "path": "a/"}, "folder a: 1,440 images (1,100 train"),
    ],
)
def test_the_data_are_named_without_the_folders_above(
    task: str, params: dict[str, str], line: str
) -> None:
    every = {"url": None, "folder": None} | params
    download = {f"data.{name}": value for name, value in every.items()}
    found = records(
        download={"params": download}, split={"metrics": COUNTS, "params": {"task": task}}
    )
    assert notes.data(found).startswith(line)


def test_without_records_of_the_data_nothing_is_said_about_them() -> None:
    assert notes.data(records()) == ""
    assert notes.left_out(records()) == []


def test_files_without_a_row_are_counted_with_the_first_reasons() -> None:
    lines = [f"{number}.png: no image" for number in range(7)]
    found = records(
        download={"details": {"skipped": ["a: a linked folder"]}},
        split={
            "details": {"skipped": lines, "unlabelled": ["notes.txt"]},
            "metrics": {"identical": 1.0},
        },
        segment={"details": {"empty": ["b.png"]}},
    )
    assert notes.left_out(found) == [
        Note("Files that were not copied: 1", ("a: a linked folder",)),
        Note(
            "Files that are not usable as images: 7",
            tuple(lines[:5]),
            "2 more are in reports/split/record.json (skipped)",
        ),
        Note("Files without a label: 1", ("notes.txt",)),
        Note("Images without foreground after the segmentation: 1", ("b.png",)),
        Note("Files with the content of another one, which share its row in arrays: 1"),
    ]
