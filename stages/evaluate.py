"""Evaluate both models on the images of a split and compare them. Each image is scored once."""

from typing import Any

import pandas as pd

from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.evaluation import doubtful_labels, evaluators, figures, metrics, model_outputs
from seedlings.evaluation.params import Evaluate
from seedlings.io import split_table
from seedlings.io.files import write_array, write_csv, write_json
from seedlings.networks import backbones, models, runtime
from seedlings.packaging import distances
from seedlings.tasks import TASKS
from seedlings.training.augmentations import Augmentation
from seedlings.training.params import Finetune


def main(
    record: Record, *, evaluate: Evaluate, finetune: Finetune, seed: int, task: str, threads: int
) -> None:
    runtime.prepare(seed, threads)
    kind = TASKS[task]
    table = split_table.read(paths.SPLIT)
    original = split_table.with_original_labels(table)  # also of images that were dropped
    baseline, finetuned = models.load(paths.BASELINE), models.load(paths.PACKAGED)
    all_results = {
        "baseline": model_outputs.predict(
            baseline, paths.IMAGES, original, kind, split=evaluate.split
        ),
        "finetuned": model_outputs.predict_finetuned(
            finetuned, paths.FEATURES, paths.IMAGES, original, kind, split=evaluate.split
        ),
    }
    results = evaluators.of_used(table, evaluate, all_results)
    write_array(paths.OUTPUTS, results["finetuned"])
    evaluator = evaluators.of(kind, table, evaluate, seed)
    record.add_metrics(evaluators.score(kind, table, evaluate, seed, results))
    record.add_metrics(evaluators.score_original(kind, table, evaluate, seed, all_results))
    named = distances.share_beyond(
        finetuned, paths.PACKAGED, paths.FEATURES, paths.IMAGES, table, split=evaluate.split
    )
    record.add_metrics({"out_of_distribution/share": named})

    report = paths.report("evaluate")
    drawings = report / "figures"  # a folder of pictures alone, which dvc.yaml names
    write_json(report / "metrics.json", metrics.nest(record.metrics))
    write_csv(report / "predictions.csv", evaluator.predictions(results))
    write_csv(report / "confusion.csv", evaluator.pairs(results))
    for picture in evaluator.draw(results, drawings):
        record.add_picture(picture)
    for name, outputs in results.items():
        write_csv(report / f"{name}_classes.csv", evaluator.table(outputs))
        picture = record.add_picture(drawings / f"{name}_mistakes.png")
        wrong = list(evaluator.mistakes(outputs))
        figures.mistakes(paths.IMAGES, table, wrong, params=evaluate, path=picture)
    if kind.has_classes and evaluate.doubtful_labels:
        unseen: dict[str, Any] = {evaluate.split: results["finetuned"]}
        if evaluate.split != "validation":
            unseen["validation"] = model_outputs.predict_finetuned(
                finetuned, paths.FEATURES, paths.IMAGES, table, kind, split="validation"
            )
        with model_outputs.embedded(
            finetuned, paths.FEATURES, paths.IMAGES, table, kind, split="train"
        ) as embeddings:
            check = doubtful_labels.find(table, embeddings, unseen, kind, seed=seed)
        check = check.without(pd.read_csv(paths.DECIDED, dtype=str, keep_default_na=False))
        write_csv(report / "doubtful_labels.csv", check.doubtful)
        record.details["doubtful_labels"] = check.summary()
        picture = record.add_picture(drawings / "doubtful_labels.png")
        figures.doubtful_labels(paths.IMAGES, table, check, params=evaluate, path=picture)
    for stage in ("baseline", "finetune"):
        picture = record.add_picture(drawings / f"{stage}_curves.png")
        figures.curves(paths.report(stage) / "history.csv", kind.epoch_metric, picture)
    window = backbones.of_model(finetuned).window
    if (augmentation := Augmentation(finetune.augment, window, seed)).active:
        picture = record.add_picture(drawings / "augmentations.png")
        figures.augmentations(paths.IMAGES, augmentation, picture)
