"""Score both models on the test images, each image once, and hold one against the other."""

from seedlings import evaluation, gallery, judges, layout, models, runtime, splits
from seedlings.files import write_csv, write_json
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage
from seedlings.tasks import TASKS


@stage("evaluate")
def main(params: Params, record: Record) -> None:
    runtime.prepare(params.seed, params.threads)
    task = TASKS[params.task]
    table = splits.read(layout.SPLIT)
    baseline, finetuned = models.load(layout.BASELINE), models.load(layout.FINETUNED)
    results = {
        "baseline": evaluation.predict(baseline, layout.IMAGES, table, task),
        "finetuned": evaluation.predict_finetuned(
            finetuned, layout.FEATURES, layout.IMAGES, table, task
        ),
    }
    judge = judges.of(task, table, params.evaluate, params.seed)
    record.add_metrics(judge.score(results))

    report = layout.report("evaluate")
    write_json(report / "metrics.json", evaluation.nest(record.metrics))
    write_csv(report / "predictions.csv", judge.predictions(results))
    write_csv(report / "confusion.csv", judge.pairs(results))
    for picture in judge.draw(results, report):
        record.add_picture(picture)
    places, most = splits.rows(table, "test"), params.evaluate.mistakes
    for name, outputs in results.items():
        write_csv(report / f"{name}_classes.csv", judge.table(outputs))
        sheet = record.add_picture(report / f"{name}_mistakes.png")
        wrong = list(judge.mistakes(outputs))
        gallery.mistakes(layout.IMAGES, places, wrong, path=sheet, most=most)


if __name__ == "__main__":
    main()
