"""Calibration: temperature scaling, so that confidence matches accuracy."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from seedlings.networks import architectures, tta
from seedlings.networks.runtime import keras
from seedlings.tasks import Task
from seedlings.training.batches import Batches

_SMALLEST = float(np.finfo(np.float32).tiny)  # the outputs of models are float32
_SMALLEST_REST = 1e-12  # of 1 - a sigmoid; the score of a rounded one is unknown
_LOG_RANGE = (-1.0, 3.0)  # a temperature between 0.37 and 20


def calibrate(model: "keras.Model", validation: Batches, task: Task) -> float:
    """Divide the weights of the last layer by the temperature, in place; return the temperature.

    Temperature scaling (Guo et al. 2017, section 4.2) minimises the log loss on validation. It
    changes the confidence of the predictions, but not the predictions. For regression, which has no
    probabilities, the temperature is 1. With test-time augmentation, scores are divided before the
    outputs are averaged, which can change a prediction whose classes are nearly as probable.
    """
    if task.activation == "linear":
        return 1.0
    source = tta.apart(model) if tta.count(model) > 1 else model
    found = temperature(source.predict(validation.data(), verbose=0), validation.targets)
    output = architectures.head_of(model).get_layer("output")
    output.set_weights([weights / found for weights in output.get_weights()])
    return found


def temperature(probabilities: NDArray[np.floating], targets: NDArray) -> float:
    """Return the temperature that minimises the log loss, between 0.37 and 20.

    `probabilities` (N x units, or N x copies x units to be averaged over copies) are the outputs of
    a softmax if `targets` has one dimension and there is more than one unit, else of sigmoids.
    Returns 1.0 if every prediction, of every copy, is correct: the loss would keep falling as the
    temperature approaches 0. The value is rounded to six digits, so that it does not depend on the
    last bits of the loss.
    """
    wide = np.clip(probabilities.astype(np.float64), _SMALLEST, 1.0)
    if wide.ndim == 2:
        wide = wide[:, np.newaxis]
    is_softmax = targets.ndim == 1 and wide.shape[2] > 1
    if is_softmax:
        right = wide.argmax(axis=2) == targets[:, np.newaxis]
    else:
        right = (wide >= 0.5) == (targets.reshape(len(wide), 1, -1) > 0)
    if right.all():
        return 1.0
    loss = _softmax_loss if is_softmax else _sigmoid_loss
    found = minimize_scalar(
        lambda power: loss(wide, targets, np.exp(power)), bounds=_LOG_RANGE, method="bounded"
    )
    return round(float(np.exp(found.x)), 6)


def _softmax_loss(wide: NDArray[np.float64], targets: NDArray, temperature: float) -> float:
    scores = np.log(wide) / temperature
    scores -= np.log(np.exp(scores).sum(axis=2, keepdims=True))
    right = scores[np.arange(len(targets)), :, targets]
    return -float(_log_mean(right, axis=1).mean())


def _sigmoid_loss(wide: NDArray[np.float64], targets: NDArray, temperature: float) -> float:
    scores = (np.log(wide) - np.log(np.maximum(1.0 - wide, _SMALLEST_REST))) / temperature
    signs = 2.0 * targets.reshape(len(wide), 1, -1) - 1.0
    right = -np.logaddexp(0.0, -signs * scores)
    return -float(_log_mean(right, axis=1).mean())


def _log_mean(logs: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the logarithms of the means of numbers, given their logarithms; exact for one."""
    if logs.shape[axis] == 1:
        return logs.squeeze(axis)
    return logsumexp(logs, axis=axis) - np.log(logs.shape[axis])
