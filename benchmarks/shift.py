"""Dataset shift: how often `predict --check` finds one where there is none, and where there is one.

A model of the sample is packaged by the pipeline. New images are drawn as those of the sample are,
so they are like them; or they are changed. False alarms are those of 1,000 sets of like images:
with the bundle as it is, and with a bundle whose validation images are drawn anew for each set.
"""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks import out_of_distribution as images_
from benchmarks.measure import PETS, PLANTS, ROOT, at_most
from benchmarks.project import SMALL, Project
from seedlings import presets
from seedlings.config import paths
from seedlings.data import sample
from seedlings.images import Image
from seedlings.networks import models
from seedlings.packaging import bundle, distances
from seedlings.packaging.bundle import Contents, Samples
from seedlings.serving.predictor import Predictor, with_tensorflow
from seedlings.shift import comparison
from seedlings.shift.comparison import Measured

_FIRST = 100_000  # the numbers of images that the sample does not have
_PICTURE = ROOT / "docs" / "expected_accuracy.png"
Labelled = tuple[Measured, NDArray[np.int64]]


def main(*, small: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        preset = SMALL if small else ("sample",)
        project = Project(Path(folder), preset)
        project.run("dvc", "repro", "package")
        package = project.root / paths.PACKAGED
        side = presets.compose(preset)["data"]["sample"]["side"]
        each = 5 if small else 250
        like = list(drawn(each, side))
        contents, samples = bundle.read(package), bundle.read_samples(package)
        measure = measuring(package)
        found = measure(picture for picture, _ in like)
        labels = np.array([label for _, label in like])
        rng = np.random.default_rng(0)
        rounds = 20 if small else 1000
        false_alarms(found, contents, samples, rng, size=20 if small else 100, rounds=rounds)
        changed = {name: measure(map(change, (p for p, _ in like))) for name, change in _CHANGES}
        sizes = (20,) if small else (25, 100, 400)
        others = {
            "a missing class": subset(found, np.flatnonzero(labels != 0)),
            "half of the classes": subset(found, np.flatnonzero(labels < 6)),
            **changed,
        }
        for name, archive in (("real seedlings", PLANTS), ("cats and dogs", PETS)):
            if not small and archive.is_file():
                others[name] = measure(images_.of_archive(archive))
        power(others, contents, samples, rng, sizes=sizes, rounds=20 if small else 200)
        if not small:
            accuracy({"like": found, **changed}, labels, contents, samples)


def drawn(each: int, side: int) -> Iterable[tuple[Image, int]]:
    """Yield new images of each species as the sample has them, and the number of the species."""
    for species in range(len(sample.SPECIES)):
        for number in range(each):
            yield sample.draw_numbered(species, _FIRST + number, seed=0, size=side)[0], species


def measuring(package: Path) -> Callable[[Iterable[Image]], Measured]:
    """Return a function from images to what the model in a folder says about them."""
    reference = bundle.read_reference(package)
    network = distances.with_distances(models.load(package), reference, with_rows=True)
    run, engine = with_tensorflow(network)
    predictor = Predictor(package, (run, engine))

    def measure(pictures: Iterable[Image]) -> Measured:
        cut_outs, shares = zip(*map(predictor.cut_out_with_share, pictures), strict=True)
        parts = [run(np.stack(cut_outs[n : n + 32])) for n in range(0, len(cut_outs), 32)]
        outputs, far, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
        names = [str(number) for number in range(len(cut_outs))]
        return Measured(names, outputs, far[:, 0], np.array(shares), rows)

    return measure


def subset(found: Measured, rows: NDArray[np.int64]) -> Measured:
    """Return some of the images."""
    return Measured(
        [found.paths[row] for row in rows],
        found.outputs[rows],
        found.distances[rows],
        found.foreground[rows],
        found.rows[rows],
    )


def false_alarms(
    like: Measured,
    contents: Contents,
    samples: Samples,
    rng: np.random.Generator,
    *,
    size: int,
    rounds: int,
) -> None:
    """Print how often like images are called unlike, with the bundle and with new ones."""
    count = len(samples.validation)

    def with_bundle() -> bool:
        chosen = rng.choice(len(like.paths), size, replace=False)
        return comparison.of_samples(subset(like, chosen), contents, samples).is_shifted

    def with_new_bundle() -> bool:
        chosen = rng.choice(len(like.paths), size + count, replace=False)
        validation, new = subset(like, chosen[size:]), subset(like, chosen[:size])
        share = 1.0 - contents.share_within
        largest, within = distances.threshold(validation.distances, share)
        own = replace(
            contents, largest_distance=largest, share_within=within, validation_images=count
        )
        taken = Samples(samples.training, validation.rows, validation.outputs)
        return comparison.of_samples(new, own, taken).is_shifted

    for name, one in (("the bundle", with_bundle), ("a new bundle each", with_new_bundle)):
        rate = np.mean([one() for _ in range(rounds)])
        at_most(f"false alarms in {rounds} sets of {size}, {name}", 100 * float(rate), 5.0, "%")


def power(
    others: dict[str, Measured],
    contents: Contents,
    samples: Samples,
    rng: np.random.Generator,
    *,
    sizes: tuple[int, ...],
    rounds: int,
) -> None:
    """Print how often sets of changed images are called unlike, in all and by each test."""
    names = (comparison.FEATURES, comparison.CONFIDENCE, comparison.BEYOND)
    print(f"\n{'':<20} {'images':>6} {'found':>7}" + "".join(f"{name:>21}" for name in names))
    for title, found in others.items():
        for size in sizes:
            size_ = min(size, len(found.paths))
            sets = (rng.choice(len(found.paths), size_, replace=False) for _ in range(rounds))
            results = [comparison.of_samples(subset(found, s), contents, samples) for s in sets]
            rates = np.mean([[t.rejects for t in result.tests] for result in results], axis=0)
            total = np.mean([result.is_shifted for result in results])
            by_test = "".join(f"{rate:>21.0%}" for rate in rates)
            print(f"{title:<20} {size_:>6} {total:>7.0%}{by_test}", flush=True)


def accuracy(
    measured: dict[str, Measured],
    labels: NDArray[np.int64],
    contents: Contents,
    samples: Samples,
) -> None:
    """Print the accuracy that the probabilities let expect beside the true one, and draw both."""
    names = [species.name for species in sample.SPECIES]
    order = np.array([contents.outputs.index(name) for name in names])[labels]
    points = {}
    print(f"\n{'':<20} {'expected':>9} {'true':>9}")
    for name, found in measured.items():
        expected = comparison.of_samples(found, contents, samples).expected_accuracy
        assert expected is not None
        true = float((found.outputs.argmax(axis=1) == order).mean())
        points[name] = (expected, true)
        print(f"{name:<20} {expected:>9.1%} {true:>9.1%}")
    draw(points)
    print(f"picture: {_PICTURE}")


def draw(points: Mapping[str, tuple[float, float]]) -> None:
    """Draw the expected and the true accuracy of each set of images."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.8")
    for name, (expected, true) in points.items():
        axes.plot(expected, true, "o", color="tab:green")
        axes.annotate(name, (expected, true), xytext=(5, -3), textcoords="offset points", size=8)
    axes.set(xlabel="accuracy that the probabilities let expect", ylabel="true accuracy")
    axes.set(xlim=(0, 1.15), ylim=(0, 1.02))
    _PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(_PICTURE, dpi=90)


def _blurred(sigma: float) -> Callable[[Image], Image]:
    return lambda image: cv2.GaussianBlur(image, (0, 0), sigma)


def _turned(degrees: int) -> Callable[[Image], Image]:
    """Return a function that turns the hue."""

    def turn(image: Image) -> Image:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[:, :, 0] = (hsv[:, :, 0].astype(np.int64) + degrees // 2) % 180
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)

    return turn


def _darker(share: float) -> Callable[[Image], Image]:
    return lambda image: (image * share).astype(np.uint8)


_CHANGES: tuple[tuple[str, Callable[[Image], Image]], ...] = (
    *((f"blurred, {sigma} px", _blurred(sigma)) for sigma in (0.5, 1.0, 2.0, 4.0)),
    *((f"hue, {degrees} degrees", _turned(degrees)) for degrees in (6, 12, 24)),
    *((f"darker, {share}", _darker(share)) for share in (0.8, 0.5)),
    ("half covered", images_.half_covered),
)
