"""Coverage of the intervals and false alarms of the tests, on simulated images in groups.

Each line simulates test sets whose images come in groups with something in common: the probability
of a correct prediction, the mean of the scores, or an error. Printed are the share of 95% intervals
that contain the truth, and the share of tests of two equal models with p at most 0.05: with each
image as one observation, with a percentile bootstrap of groups, and as the project does it. For
groups of one image, the tests are the same.

`--simulations N` changes the number of test sets of each line (1,000).
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seedlings.evaluation import intervals, paired_tests
from seedlings.search import significance

_CONFIDENCE, _LEVEL = 0.95, 0.05
_RESAMPLES = 399
_TRIALS = 10  # of a search

Values = NDArray[np.float64]
Groups = NDArray[np.int64]
Draw = Callable[[Groups, np.random.Generator], Values]  # the value of each image


@dataclass(frozen=True, slots=True)
class Setting:
    """What is simulated: a metric with its true mean, and how its values are drawn."""

    metric: str  # accuracy, f2 or mae
    truth: float
    draw: Draw
    title: str


def shares(mean: float, correlation: float) -> Setting:
    """Return correct predictions; the images of a group have one probability (beta-binomial)."""
    strength = (1.0 - correlation) / correlation

    def draw(groups: Groups, rng: np.random.Generator) -> Values:
        count = groups.max() + 1
        own = rng.beta(strength * mean, strength * (1.0 - mean), count)
        return (rng.random(len(groups)) < own[groups]).astype(np.float64)

    return Setting("accuracy", mean, draw, f"{mean:.0%} right, correlation {correlation:g}")


def scores(perfect: float, correlation: float) -> Setting:
    """Return F2 scores: 1.0 for a share of the images of a group, else one of a few values."""
    others = np.array([0.0, 0.5, 5 / 7, 5 / 6, 10 / 11])
    chances = [0.1, 0.2, 0.2, 0.25, 0.25]
    right = shares(perfect, correlation).draw

    def draw(groups: Groups, rng: np.random.Generator) -> Values:
        return np.where(right(groups, rng) > 0, 1.0, rng.choice(others, len(groups), p=chances))

    mean = perfect + (1.0 - perfect) * float(others @ chances)
    return Setting("f2", mean, draw, f"{perfect:.0%} perfect, correlation {correlation:g}")


def common_errors(own: float) -> Setting:
    """Return absolute errors of a normal error of the group and one of the image, scaled by own."""

    def draw(groups: Groups, rng: np.random.Generator) -> Values:
        common = rng.normal(size=groups.max() + 1)[groups]
        return np.abs(common + own * rng.normal(size=len(groups)))

    return Setting("mae", np.sqrt((1 + own**2) * 2 / np.pi), draw, f"own error {own:g}")


def scales(spread: float) -> Setting:
    """Return absolute errors of normal errors whose scale is that of the group (log-normal)."""

    def draw(groups: Groups, rng: np.random.Generator) -> Values:
        own = np.exp(spread * rng.normal(size=groups.max() + 1))
        return np.abs(own[groups] * rng.normal(size=len(groups)))

    truth = np.sqrt(2 / np.pi) * np.exp(spread**2 / 2)
    return Setting("mae", truth, draw, f"skewed scales {spread:g}")


SETTINGS = (shares(0.8, 0.2), shares(0.9, 0.1), scores(0.5, 0.2), scores(0.8, 0.1))
ERRORS = (common_errors(0.3), scales(0.5))
EXTREME = (
    *(shares(0.97, 0.3), shares(0.99, 0.1), shares(0.99, 0.01)),
    *(scores(0.95, 0.5), scores(0.99, 0.1), scales(1.0)),
)
SIZES = {"1": (1, 1), "100": (100, 100), "20-180": (20, 180)}  # images of a group
COUNTS = (12, 30)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage")
    parser.add_argument("--simulations", type=int, default=1000)
    count = parser.parse_args().simulations
    print(f"{'':<53} {'covered by 95% intervals':^37} {'rejected':^16}")
    print(
        f"{'metric':<9}{'':<30}{'groups':>7} {'images':>6} {'images':>8} {'percentile':>10} "
        f"{'groups':>8} {'width':>7}  {'images':>7} {'groups':>7}"
    )
    for setting in (*SETTINGS, *ERRORS):
        for groups in COUNTS:
            for size in SIZES:
                print(line(setting, groups, size, count), flush=True)
    print("extreme values")
    for setting in EXTREME:
        for groups in COUNTS:
            # Of tied means of few groups, SciPy enumerates all signs, which takes a second.
            has_ties = setting.metric == "f2"
            print(line(setting, groups, "100", count, with_tests=not has_ties), flush=True)
    for groups in COUNTS:
        images, now = search_rejections(groups, count)
        print(
            f"best of {_TRIALS} trials of a search, {groups} groups of 20: {images:.1%} {now:.1%}"
        )


def line(
    setting: Setting, count: int, size: str, simulations: int, *, with_tests: bool = True
) -> str:
    """Return the line of the table for a number of groups of a size."""
    rng = np.random.default_rng(count)
    covered: list[list[bool]] = []
    rejected: list[list[bool]] = []
    widths = []
    for _ in range(simulations):
        groups = _groups(count, size, rng)
        first, second = setting.draw(groups, rng), setting.draw(groups, rng)
        found = [
            by_images(setting, first, rng),
            by_percentiles(first, groups, rng),
            by_groups(setting, first, groups, rng),
        ]
        covered.append([low <= setting.truth <= high for low, high in found])
        widths.append(found[-1][1] - found[-1][0])
        if with_tests and count < len(groups):
            rejected.append(_rejected(setting, first, second, groups))
    before, percentile, now = np.mean(covered, axis=0)
    tests = " ".join(f"{rate:>7.1%}" for rate in np.mean(rejected, axis=0)) if rejected else ""
    return (
        f"{setting.metric:<9}{setting.title:<30}{count:>7} {size:>6} {before:>8.1%} "
        f"{percentile:>10.1%} {now:>8.1%} {np.median(widths):>7.3f}  {tests}"
    ).rstrip()


def _rejected(setting: Setting, first: Values, second: Values, groups: Groups) -> list[bool]:
    """Return whether the tests tell two models apart: by images, and by groups."""
    test = "mcnemar" if setting.metric == "accuracy" else "wilcoxon"
    found = [
        paired_tests.compare(first, second, own, test=test).p_value
        for own in (np.arange(len(groups)), groups)
    ]
    return [p_value <= _LEVEL for p_value in found]


def by_groups(
    setting: Setting, values: Values, groups: Groups, rng: np.random.Generator
) -> intervals.Interval:
    """Return the project's interval; without one, that of a point."""
    if setting.metric == "accuracy":
        found = intervals.share(values > 0, groups, confidence=_CONFIDENCE)
    else:
        found = intervals.mean(
            values,
            groups,
            confidence=_CONFIDENCE,
            samples=_RESAMPLES,
            rng=rng,
            largest=1.0 if setting.metric == "f2" else np.inf,
        )
    return found or (values.mean(), values.mean())


def by_images(setting: Setting, values: Values, rng: np.random.Generator) -> intervals.Interval:
    """Return the percentile bootstrap interval of images (Efron 1979)."""
    count = len(values)
    if setting.metric == "accuracy":  # the number of ones in a resample is binomial
        return _percentiles(rng.binomial(count, values.mean(), _RESAMPLES) / count)
    return _percentiles(values[_drawn(count, rng)].mean(axis=1))


def by_percentiles(values: Values, groups: Groups, rng: np.random.Generator) -> intervals.Interval:
    """Return the percentile bootstrap interval of groups."""
    sums, sizes = (np.bincount(groups, weights=w) for w in (values, np.ones(len(values))))
    drawn = _drawn(len(sizes), rng)
    return _percentiles(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))


def search_rejections(count: int, simulations: int) -> tuple[float, float]:
    """Return how often the best of equal trials is better than the start: by images, by groups."""
    rng, found = np.random.default_rng(count), []
    groups, draw = np.repeat(np.arange(count), 20), shares(0.8, 0.2).draw
    for _ in range(simulations):
        start, *scored = (draw(groups, rng) for _ in range(_TRIALS + 1))
        trials = np.array(scored)
        best = int(trials.mean(axis=1).argmax())
        found.append(
            [
                significance.corrected_p_value(
                    trials, start, own, best, tried=_TRIALS, rng=rng, samples=_RESAMPLES
                )
                <= _LEVEL
                for own in (np.arange(len(groups)), groups)
            ]
        )
    images, now = np.mean(found, axis=0)
    return float(images), float(now)


def _groups(count: int, size: str, rng: np.random.Generator) -> Groups:
    least, most = SIZES[size]
    return np.repeat(np.arange(count), rng.integers(least, most + 1, count))


def _drawn(count: int, rng: np.random.Generator) -> Groups:
    return rng.integers(0, count, (_RESAMPLES, count))


def _percentiles(means: Values) -> intervals.Interval:
    low, high = np.quantile(means, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return float(low), float(high)


if __name__ == "__main__":
    main()
