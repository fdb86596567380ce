"""Package the fine-tuned model with its segmentation and outputs, for serving."""

from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.evaluation.params import Evaluate
from seedlings.io import split_table
from seedlings.networks import models, runtime, tta
from seedlings.packaging import bundle, distances
from seedlings.packaging.params import Package
from seedlings.segmentation.params import Segment
from seedlings.tasks import TASKS
from seedlings.training import batches, calibration
from seedlings.training.params import Finetune


def main(
    record: Record,
    *,
    package: Package,
    evaluate: Evaluate,
    finetune: Finetune,
    portable: bool,
    segment: Segment,
    seed: int,
    task: str,
    threads: int,
) -> None:
    runtime.prepare(seed, threads)
    kind = TASKS[task]
    table = split_table.read(paths.SPLIT)
    model = tta.averaged(models.load(paths.FINETUNED), package.tta)
    if package.tta > 1 and finetune.calibrate:
        with batches.of_split(paths.IMAGES, table, kind, "validation", size=32) as validation:
            temperature = calibration.calibrate(model, validation, kind)
        record.add_metrics({"tta/temperature": temperature})
    reference = distances.reference(model, paths.FEATURES, paths.IMAGES, table, seed=seed)
    found = distances.of_split(
        model, reference, paths.FEATURES, paths.IMAGES, table, split="validation"
    )
    sample = distances.validation(model, paths.FEATURES, paths.IMAGES, table, seed=seed)
    largest, within = distances.threshold(found, package.out_of_distribution_share)
    contents = bundle.Contents(
        task=task,
        answers=kind.answer_form,
        outputs=kind.outputs(table["label"]),
        segment=segment.model_dump(),
        tag_threshold=evaluate.tag_threshold,
        largest_distance=largest,
        share_within=within,
        validation_images=len(found),
        training_shares=kind.shares(table["label"].iloc[split_table.rows(table, "train")]),
        portable=portable,
    )
    bundle.write(model, contents, bundle.Samples(reference, *sample), paths.PACKAGED)
    record.add_metrics(
        {
            "out_of_distribution/distance": largest,
            "out_of_distribution/expected_share": round(1.0 - within, 6),
            "out_of_distribution/validation_share": float((found > largest).mean()),
        }
    )
