"""Explain the fine-tuned model with activation maximisation and saliency maps."""

import numpy as np

from seedlings.config import paths
from seedlings.config.records import Record
from seedlings.evaluation import evaluators
from seedlings.evaluation.params import Evaluate
from seedlings.explain import activation_maximization, figures, gradients
from seedlings.explain.params import Explain
from seedlings.explain.saliency import Explainer
from seedlings.io import split_table
from seedlings.networks import models, runtime, tta
from seedlings.tasks import TASKS


def main(
    record: Record, *, explain: Explain, evaluate: Evaluate, seed: int, task: str, threads: int
) -> None:
    runtime.prepare(seed, threads)
    kind = TASKS[task]
    table = split_table.read(paths.SPLIT)
    directions = kind.directions(kind.outputs(table["label"]))
    model = models.load(paths.PACKAGED)

    report = paths.report("explain")
    network = gradients.differentiable(tta.alone(model))
    filters = activation_maximization.of_filters(network, explain, seed)
    figures.maximized(filters, record.add_picture(report / "filters.png"))
    outputs = activation_maximization.of_outputs(network, directions, explain, seed)
    figures.maximized(outputs, record.add_picture(report / "classes.png"))
    record.add_metrics(activation_maximization.summarize(filters + outputs))

    evaluated = np.load(paths.OUTPUTS)
    evaluator = evaluators.of(kind, table, evaluate, seed)
    explainer = Explainer(network, directions)
    figures.saliency(
        paths.IMAGES,
        split_table.rows(table, evaluate.split),
        evaluator.correct_and_wrong(evaluated, explain.images),
        lambda image: explainer.overlays(image, explain, seed),
        record.add_picture(report / "saliency.png"),
    )
