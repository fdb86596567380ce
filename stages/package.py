"""Pack the fine-tuned model with all that precedes it, as it is served."""

from seedlings import evaluation, layout, models, packages, runtime, splits
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage
from seedlings.tasks import TASKS


@stage("package")
def main(params: Params, record: Record) -> None:
    runtime.prepare(params.seed, params.threads)
    task = TASKS[params.task]
    table = splits.read(layout.SPLIT)
    model = models.load(layout.FINETUNED)
    outputs = evaluation.predict_finetuned(
        model, layout.FEATURES, layout.IMAGES, table, task, split="validation"
    )
    seen = table.iloc[splits.rows(table, "train")]["label"]
    usual = packages.usual(outputs, task, task.targets(seen), params.package.unusual_share)
    contents = packages.Contents(
        task=params.task,
        outputs=task.outputs(table["label"]),
        segment=params.segment.model_dump(),
        tag_threshold=params.evaluate.tag_threshold,
        usual=usual,
    )
    packages.write(model, contents, layout.PACKAGED)
    record.model = layout.PACKAGED
    record.add_metrics({"usual/low": usual[0], "usual/high": usual[1]})


if __name__ == "__main__":
    main()
