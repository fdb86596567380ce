"""The comparison of new images with the data of a packaged model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seedlings import answers
from seedlings.errors import SeedlingsError
from seedlings.packaging import bundle
from seedlings.packaging.bundle import Contents, Samples
from seedlings.shift import two_samples
from seedlings.training import batches

LEVEL = 0.05  # of all tests together
FEATURES, CONFIDENCE, BEYOND = "features", "confidence", "out-of-distribution"
_ROWS = 512  # new images whose features are compared
_SEED = 0  # of the permutations


@dataclass(frozen=True, slots=True)
class Measured:
    """What the network says about new images, in their order.

    `outputs` are N x units, `distances` and `foreground` (a share, 0..1) N, and `rows` the features
    (at most 512 x C) of images that are evenly spaced among them.
    """

    paths: Sequence[str]
    outputs: NDArray[np.float32]
    distances: NDArray[np.float32]
    foreground: NDArray[np.float64]
    rows: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Test:
    """A test, and its p-value, which holds for all tests together."""

    name: str
    p_value: float

    @property
    def rejects(self) -> bool:
        """Whether new images are unlike those of validation, by this test."""
        return self.p_value < LEVEL


@dataclass(frozen=True, slots=True)
class Comparison:
    """New images beside those of training and validation.

    `expected_accuracy` and `validation_confidence` are the mean confidence of new images and of
    validation images, for classes; `shares` are those of the classes or tags, in training and in
    the predictions. `strangest` has the numbers of the images with the largest distances, and
    `reasons` a reason for each image that is out-of-distribution, else "".
    """

    images: int
    tests: list[Test]
    named: int
    expected_named: float
    shares: dict[str, tuple[float, float]]
    expected_accuracy: float | None = None
    validation_confidence: float | None = None
    reasons: list[str] = field(default_factory=list)
    strangest: list[int] = field(default_factory=list)

    @property
    def is_shifted(self) -> bool:
        """Whether a test finds the new images unlike those of validation."""
        return any(test.rejects for test in self.tests)

    def as_json(self) -> dict[str, Any]:
        """Return the comparison without what is said of single images."""
        values = asdict(self)
        for name in ("reasons", "strangest"):
            del values[name]
        return {**values, "shifted": self.is_shifted, "level": LEVEL}


def chosen(count: int) -> NDArray[np.int64]:
    """Return the numbers of the images whose features are compared: evenly spaced, at most 512."""
    return np.unique(np.linspace(0, count - 1, min(count, _ROWS)).round().astype(np.int64))


def compare(new: Measured, package: Path, most: int = 20) -> Comparison:
    """Return the comparison of new images with the data of the packaged model in a folder.

    Raises SeedlingsError if there are fewer than 2 new images.
    """
    if len(new.paths) < 2:
        raise SeedlingsError(f"--check: expected at least 2 images, found {len(new.paths)}")
    return of_samples(new, bundle.read(package), bundle.read_samples(package), most)


def of_samples(new: Measured, contents: Contents, samples: Samples, most: int = 20) -> Comparison:
    """Return the comparison of new images with the samples of a bundle."""
    beyond = new.distances > contents.largest_distance
    tests = _tests(new, contents, samples, int(beyond.sum()))
    adjusted = two_samples.together(list(tests.values()))
    confidence, before = (_confidence(x, contents) for x in (new.outputs, samples.outputs))
    far = np.argsort(-new.distances, kind="stable")[:most]
    return Comparison(
        images=len(new.paths),
        tests=[Test(name, value) for name, value in zip(tests, adjusted, strict=True)],
        named=int(beyond.sum()),
        expected_named=round(1.0 - contents.share_within, 6),
        shares=_shares(new.outputs, contents),
        expected_accuracy=None if confidence is None else float(confidence.mean()),
        validation_confidence=None if before is None else float(before.mean()),
        reasons=[
            answers.out_of_distribution(share, distance, contents)
            for share, distance in zip(new.foreground, new.distances.tolist(), strict=True)
        ],
        strangest=far.tolist(),
    )


def _tests(new: Measured, contents: Contents, samples: Samples, named: int) -> dict[str, float]:
    """Return the p-value of each test alone."""
    scale, offset = map(np.array, batches.scaling(samples.training, [samples.training.shape[1]]))
    before, now = (part * scale + offset for part in (samples.validation, new.rows))
    found = {FEATURES: two_samples.features(before, now, np.random.default_rng(_SEED))}
    both = [_scores(outputs, contents) for outputs in (samples.outputs, new.outputs)]
    found[CONFIDENCE] = two_samples.values(*both)
    found[BEYOND] = two_samples.count_beyond(
        named, len(new.paths), contents.validation_images, contents.share_within
    )
    return found


def _confidence(outputs: NDArray, contents: Contents) -> NDArray[np.float64] | None:
    """Return the probability of the predicted class; None for tags and numbers."""
    if contents.answers not in ("classes", "two_classes"):
        return None
    return np.array(
        answers.in_form(contents.answers, outputs, contents.outputs, 0.5)["probability"]
    )


def _scores(outputs: NDArray, contents: Contents) -> NDArray[np.float64]:
    """Return a number for each image: its confidence, that of its least sure tag, or its value."""
    confidence = _confidence(outputs, contents)
    if confidence is not None:
        return confidence
    if contents.answers == "numbers":
        return outputs[:, 0].astype(np.float64)
    return np.maximum(outputs, 1.0 - outputs).min(axis=1).astype(np.float64)


def _shares(outputs: NDArray, contents: Contents) -> dict[str, tuple[float, float]]:
    """Return the share of each class or tag in training and in the predictions."""
    if contents.answers == "numbers":
        return {}
    found = answers.in_form(contents.answers, outputs, contents.outputs, contents.tag_threshold)
    if contents.answers == "tags":
        given = (outputs >= contents.tag_threshold).mean(axis=0)
    else:
        predicted = np.array(found["prediction"])
        given = np.array([(predicted == name).mean() for name in contents.outputs])
    return {
        name: (contents.training_shares.get(name, 0.0), float(share))
        for name, share in zip(contents.outputs, given, strict=True)
    }
