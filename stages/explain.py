"""Look into the fine-tuned model: what its filters answer to, and what its answers depend on."""

from seedlings import (
    ascent,
    evaluation,
    gallery,
    judges,
    layout,
    models,
    peaks,
    probes,
    runtime,
    splits,
)
from seedlings.params import Params
from seedlings.records import Record
from seedlings.saliency import Observer
from seedlings.stage import stage
from seedlings.tasks import TASKS


@stage("explain")
def main(params: Params, record: Record) -> None:
    runtime.prepare(params.seed, params.threads)
    task, own = TASKS[params.task], params.explain
    table = splits.read(layout.SPLIT)
    directions = task.directions(task.outputs(table["label"]))
    model = models.load(layout.FINETUNED)

    report = layout.report("explain")
    network = probes.differentiable(model)
    filters = ascent.of_filters(network, own, params.seed)
    gallery.peaks(filters, record.add_picture(report / "filters.png"))
    outputs = ascent.of_outputs(network, directions, own, params.seed)
    gallery.peaks(outputs, record.add_picture(report / "classes.png"))
    record.add_metrics(peaks.rises(filters + outputs))

    answers = evaluation.predict_finetuned(model, layout.FEATURES, layout.IMAGES, table, task)
    judge = judges.of(task, table, params.evaluate, params.seed)
    observer = Observer(network, directions)
    gallery.attention(
        layout.IMAGES,
        splits.rows(table, "test"),
        judge.right_and_wrong(answers, own.images),
        lambda image: observer.overlays(image, own, params.seed),
        record.add_picture(report / "saliency.png"),
    )


if __name__ == "__main__":
    main()
