"""The page of a check, and its summary in words."""

from collections.abc import Iterator
from pathlib import Path

from seedlings import images
from seedlings.plots import image_grid
from seedlings.plots.image_grid import Row, Tile
from seedlings.report import html
from seedlings.serving.predictions import decoded, printable
from seedlings.serving.predictor import Predictor
from seedlings.shift.comparison import BEYOND, CONFIDENCE, FEATURES, Comparison, Measured

_TITLES = {
    FEATURES: "features (maximum mean discrepancy)",
    CONFIDENCE: "confidences (Kolmogorov and Smirnov)",
    BEYOND: "share out-of-distribution (beta-binomial)",
}
_COLUMNS = 5


def lines(found: Comparison) -> Iterator[str]:
    """Yield the comparison in words."""
    verdict = "unlike" if found.is_shifted else "like"
    yield f"{found.images} images, {verdict} those of validation:"
    for test in found.tests:
        sign = "differ" if test.rejects else "no difference found"
        yield f"  {_TITLES[test.name]}: {sign}, p = {test.p_value:.2g}"
    yield (
        f"  out-of-distribution: {found.named} ({found.named / found.images:.1%}); "
        f"{found.expected_named:.1%} expected"
    )
    if found.expected_accuracy is not None:
        yield (
            f"  accuracy that the probabilities let expect: {found.expected_accuracy:.1%} "
            f"(of validation images: {found.validation_confidence:.1%})"
        )
    for name, (before, now) in _most_changed(found):
        yield f"  {name}: {before:.1%} in training, {now:.1%} here"


def write(found: Comparison, new: Measured, predictor: Predictor, path: Path) -> None:
    """Write the page: the verdict, the tests, the shares, and the strangest images."""
    values = {
        "title": "Check of new images",
        "found": found,
        "titles": _TITLES,
        "strangest": html.data_address(picture(found, new, predictor)),
    }
    html.write(Path(__file__).parent / "templates" / "check.html", values, path)


def picture(found: Comparison, new: Measured, predictor: Predictor) -> images.Image:
    """Return a grid of the strangest images, with their predictions and distances."""
    paths = [new.paths[number] for number in found.strangest]
    answers = predictor.task.answers(
        new.outputs[found.strangest],
        predictor.contents.outputs,
        predictor.contents.tag_threshold,
    )["prediction"]
    tiles = []
    for path, said, number, image in zip(
        paths, answers, found.strangest, decoded(paths, predictor), strict=True
    ):
        shown = image_grid.BLANK if isinstance(image, str) else image_grid.fit(image)
        text = f"{said:.4g}" if isinstance(said, float) else said
        name = printable(path).rpartition("/")[2]
        tiles.append(Tile(shown, f"{name}\n{text}\n{new.distances[number]:.3g}"))
    rows = [Row("", tiles[n : n + _COLUMNS]) for n in range(0, len(tiles), _COLUMNS)]
    return image_grid.draw(rows)


def _most_changed(found: Comparison, most: int = 3) -> list[tuple[str, tuple[float, float]]]:
    """Return the classes or tags whose share differs most from that in training."""
    changed = sorted(found.shares.items(), key=lambda entry: -abs(entry[1][0] - entry[1][1]))
    return changed[:most]
