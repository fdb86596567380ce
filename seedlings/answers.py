"""Answers: what the outputs of a network say about an image, in one of four forms."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, list[Any]]


def in_form(form: str, outputs: NDArray, names: Sequence[str], threshold: float) -> Columns:
    """Return the columns of the answers for N rows of outputs of the last layer.

    `form` is that of the task, and `names` are those of Task.outputs; a tag is predicted if its
    probability is at least `threshold`. The column `prediction` has a class, tags separated by
    spaces, or a number. Classes also have `probability`; classes and tags have `probabilities`, by
    name.
    """
    return FORMS[form](outputs, names, threshold)


def of_classes(outputs: NDArray, names: Sequence[str], _threshold: float = 0.5) -> Columns:
    """Return the class of each row, its probability, and the probabilities of all classes."""
    columns = outputs.astype(np.float64)
    return {
        "prediction": [names[number] for number in columns.argmax(axis=1)],
        "probability": columns.max(axis=1).tolist(),
        "probabilities": _named(names, columns),
    }


def of_two_classes(outputs: NDArray, names: Sequence[str], _threshold: float = 0.5) -> Columns:
    """Return what `of_classes` does, for the probability of the second class by name."""
    return of_classes(both_classes(outputs.astype(np.float64)), names)


def of_tags(outputs: NDArray, names: Sequence[str], threshold: float) -> Columns:
    """Return the tags of each row, separated by spaces, and all probabilities."""
    columns = outputs.astype(np.float64)
    given = [" ".join(np.array(names)[row]) for row in columns >= threshold]
    return {"prediction": given, "probabilities": _named(names, columns)}


def of_numbers(outputs: NDArray, _names: Sequence[str] = (), _threshold: float = 0.5) -> Columns:
    """Return the predicted number of each row."""
    return {"prediction": outputs[:, 0].astype(np.float64).tolist()}


def both_classes(outputs: NDArray) -> NDArray:
    """Return the probabilities of both classes (N x 2) from that of the second one (N x 1).

    An output that is rounded to 1.0 is nearer to it than the number below, so the other class may
    have up to half of the difference, and not 0.
    """
    rest = np.maximum(1.0 - outputs, np.finfo(outputs.dtype).epsneg / 2)
    return np.hstack([rest, outputs])


def out_of_distribution(share: float, distance: float, contents: Any) -> str:
    """Return why an image is out-of-distribution, or "".

    `share` (0..1) is that of its foreground, and `distance` that to the training images; `contents`
    are those of the bundle.
    """
    if share < contents.segment["empty_below"]:
        return f"empty mask: {share:.2%} of the image is foreground"
    if distance > contents.largest_distance:
        return (
            f"unlike the training images: distance {distance:.3g}; "
            f"{100 * contents.share_within:.3g}% of images like them are within "
            f"{contents.largest_distance:.3g}"
        )
    return ""


def _named(names: Sequence[str], rows: Iterable[NDArray]) -> list[dict[str, float]]:
    return [dict(zip(names, row.tolist(), strict=True)) for row in rows]


FORMS: dict[str, Callable[[NDArray, Sequence[str], float], Columns]] = {
    "classes": of_classes,
    "two_classes": of_two_classes,
    "tags": of_tags,
    "numbers": of_numbers,
}
