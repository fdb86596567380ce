"""Score both models on the test images, each image once, and hold one against the other."""

from seedlings import evaluation, gallery, layout, models, runtime, splits
from seedlings.charts import confusion
from seedlings.files import write_csv, write_json
from seedlings.params import Params
from seedlings.records import Record
from seedlings.stage import stage


@stage("evaluate")
def main(params: Params, record: Record) -> None:
    runtime.prepare(params.seed, params.threads)
    table = splits.read(layout.SPLIT)
    top = models.load(layout.FINETUNED).get_layer("top")
    results = {
        "baseline": evaluation.predict(models.load(layout.BASELINE), layout.IMAGES, table),
        "finetuned": evaluation.predict(top, layout.FEATURES, table),
    }
    record.add_metrics(evaluation.score(results, table, params.evaluate, params.seed))

    report = layout.report("evaluate")
    write_json(report / "metrics.json", evaluation.nest(record.metrics))
    write_csv(report / "predictions.csv", evaluation.predictions(results, table))
    matrices = evaluation.confusions(results, table)
    confusion(matrices, splits.classes(table), record.add_picture(report / "confusion.png"))
    for name, probabilities in results.items():
        write_csv(report / f"{name}_classes.csv", evaluation.per_class(probabilities, table))
        sheet = record.add_picture(report / f"{name}_mistakes.png")
        gallery.mistakes(layout.IMAGES, table, probabilities, sheet, params.evaluate.mistakes)


if __name__ == "__main__":
    main()
