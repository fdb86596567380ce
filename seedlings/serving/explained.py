"""A packaged model with the explainer of its predictions, for pages that show both."""

from pathlib import Path

from seedlings.explain import gradients
from seedlings.explain.saliency import Explainer
from seedlings.networks import models, tta
from seedlings.serving.predictor import Predictor


def load(package: Path) -> tuple[Predictor, Explainer]:
    """Return the predictor of the packaged model in a folder, and its explainer.

    Raises SeedlingsError if the folder has no bundle.
    """
    predictor = Predictor(package)
    network = gradients.differentiable(tta.alone(models.load(package)))
    directions = predictor.task.directions(predictor.contents.outputs)
    return predictor, Explainer(network, directions)
