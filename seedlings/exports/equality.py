"""Equality: whether an exported model answers as the packaged one does, image by image."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedlings.answers import both_classes
from seedlings.config import paths
from seedlings.errors import SeedlingsError
from seedlings.images import BadImageError
from seedlings.serving.inference import BATCH, Inference

LIMIT = 1e-5  # of a probability, or of the range of numbers
_DISTANCE = 1e-4  # of a distance, as a share of the largest one of an in-distribution image

File = tuple[str, bytes]  # its name, for messages, and its content


class NoImagesError(SeedlingsError):
    """There is no image to compare the answers on."""


@dataclass(frozen=True, slots=True)
class Equality:
    """What was compared: the number of images, and the largest differences.

    `output` is the largest difference of a probability, or of a number as a share of their range;
    `distance` is that of a distance to the training images, as a share of the largest one of an
    in-distribution image.
    """

    images: int
    output: float
    distance: float
    limit: float  # of `output`


def check(
    packaged: Inference, exported: Inference, files: Iterable[File], limit: float = LIMIT
) -> Equality:
    """Return the largest differences between two inferences, for image files.

    Files that are no images are left out. Raises NoImagesError if none is left, and SeedlingsError
    that names an image if its input of the network is another one, if an output differs by more
    than `limit`, or if the answer is another one although it is clear.
    """
    names, ours, theirs = [], [], []
    same = _cut_outs(packaged, exported, files)
    while part := list(islice(same, BATCH)):
        cut_outs = np.stack([cut_out for _, cut_out in part])
        names += [name for name, _ in part]
        ours.append(packaged.run(cut_outs))
        theirs.append(exported.run(cut_outs))
    if not names:
        raise NoImagesError(
            f"expected images to compare the answers of an export on, found none; run `dvc repro` "
            f"or `dvc pull` for the test images in {paths.RAW}, or name others "
            "(`seedlings export --images`)"
        )
    (ours_out, ours_far), (theirs_out, theirs_far) = map(_joined, (ours, theirs))
    contents = packaged.contents
    outputs = _output_differences(ours_out, theirs_out, contents.answers)
    distances = np.abs(ours_far - theirs_far) / contents.largest_distance
    _check_all(outputs, limit, "output", names)
    _check_all(distances, max(limit, _DISTANCE), "distance", names)
    for number, name in enumerate(names):
        _check_answer(ours_out[number], theirs_out[number], contents, name, limit)
    return Equality(len(names), float(outputs.max()), float(distances.max()), limit)


def _cut_outs(
    packaged: Inference, exported: Inference, files: Iterable[File]
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the name and the cut-out of each image, which is the same for both inferences."""
    for name, data in files:
        try:
            expected = packaged.cut_out(packaged.decode(data))
        except BadImageError:
            continue
        found = exported.cut_out(exported.decode(data))
        if expected.shape != found.shape or not np.array_equal(expected, found):
            raise SeedlingsError(
                f"export: {name}: expected the input of the network that the pipeline computes, "
                "found another one: the preprocessing differs; the exported model is not used"
            )
        yield name, expected


def _joined(parts: list[tuple[NDArray, NDArray]]) -> tuple[NDArray, NDArray]:
    outputs, distances = zip(*parts, strict=True)
    return np.concatenate(outputs).astype(np.float64), np.concatenate(distances).astype(np.float64)


def _output_differences(ours: NDArray, theirs: NDArray, form: str) -> NDArray[np.float64]:
    """Return the largest difference of each row; of numbers, as a share of their range with 0."""
    differences = np.abs(ours - theirs).max(axis=1)
    if form != "numbers":
        return differences
    span = max(float(ours.max()), 0.0) - min(float(ours.min()), 0.0)
    return differences / (span or 1.0)


def _check_all(
    differences: NDArray[np.float64], limit: float, what: str, names: Sequence[str]
) -> None:
    """Raise SeedlingsError with the name of the image whose difference is too large."""
    worst = int(differences.argmax())
    if not differences[worst] <= limit:  # also NaN
        raise SeedlingsError(
            f"export: {names[worst]}: expected its {what} to differ by at most {limit:g} from that "
            f"of the packaged model, found {differences[worst]:.3g}; the exported model is not "
            "used. Another format may be nearer, and --tolerance accepts a larger difference"
        )


def _check_answer(ours: NDArray, theirs: NDArray, contents: Any, name: str, limit: float) -> None:
    """Raise SeedlingsError if two rows of outputs give other classes or tags, and not narrowly."""
    if contents.answers == "numbers":
        return
    if contents.answers == "tags":
        tags = ours >= contents.tag_threshold
        is_clear = np.abs(ours - contents.tag_threshold) > limit
        same = bool((tags == (theirs >= contents.tag_threshold))[is_clear].all())
    else:
        if contents.answers == "two_classes":
            ours, theirs = (both_classes(row[None])[0] for row in (ours, theirs))
        second, first = np.sort(ours)[-2:]
        same = first - second <= 2 * limit or ours.argmax() == theirs.argmax()
    if not same:
        raise SeedlingsError(
            f"export: {name}: expected the answer of the packaged model, found another one; the "
            "exported model is not used"
        )
