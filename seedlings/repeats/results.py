"""Results of repeats: the spread of one variant, and which of two variants is better."""

import statistics
from collections.abc import Iterator, Sequence

from tabulate import tabulate

from seedlings.errors import SeedlingsError
from seedlings.repeats import spread
from seedlings.repeats.experiments import Repeat, Repeats
from seedlings.report import summaries
from seedlings.tasks import Metric

_LEVEL = 0.05  # a lower p-value counts as beyond chance
_ROWS = {
    "mean": "mean",
    "standard deviation": "deviation",
    "lowest": "lowest",
    "highest": "highest",
}


def lines(found: Repeats) -> Iterator[str]:
    """Yield the lines that show the spread over seeds beside the interval over images."""
    main, *others = found.metrics
    yield f"{found.name}: {len(found.results)} seeds, evaluated on {found.split} images"
    yield ""
    rows = [["seed", *(metric.title for metric in found.metrics)]]
    for result in found.results:
        cells = [summaries.text(result.metrics, f"finetuned/{main.name}", has_interval=True)]
        rows.append([f"{result.seed}", *cells, *(_number(result.value(m)) for m in others)])
    spreads = [spread.of(found.values(metric)) for metric in found.metrics]
    for title, field in _ROWS.items():
        rows.append([title, *(_number(getattr(one, field)) for one in spreads)])
    yield from _table(rows)
    yield ""
    yield _of_images(found, main)
    yield _of_seeds(found, main)


def compared(first: Repeats, other: Repeats) -> Iterator[str]:
    """Yield the lines that say which of two variants is better over seeds.

    Raises SeedlingsError if they are not pairs: other seeds, images, splits or tasks.
    """
    _check_pairs(first, other)
    main = first.metrics[0]
    count = len(first.results)
    yield f"{first.name} → {other.name}: {count} seeds, on {first.split} images of the same splits"
    yield ""
    headers = [
        cell for m in first.metrics for cell in (f"{m.title}: {first.name}", other.name, "change")
    ]
    columns = [
        column
        for m in first.metrics
        for column in (first.values(m), other.values(m), _differences(first, other, m))
    ]
    rows = [["seed", *headers]]
    for seed, *values in zip(first.seeds, *columns, strict=True):
        cells = [
            f"{value:+.4f}" if place % 3 == 2 else _number(value)
            for place, value in enumerate(values)
        ]
        rows.append([f"{seed}", *cells])
    yield from _table(rows)
    yield ""
    for metric in first.metrics:
        yield _difference(first, other, metric)
    yield _verdict(first, other, main)
    if first.has_one_split:
        yield "All seeds have the same split, so this says nothing about other splits."


def _of_images(found: Repeats, metric: Metric) -> str:
    ends = [f"finetuned/{metric.name}_{end}" for end in ("low", "high")]
    widths = [
        one.metrics[ends[1]] - one.metrics[ends[0]]
        for one in found.results
        if all(end in one.metrics for end in ends)
    ]
    if not widths:
        return "Images: the images could have been others. There is no interval for that."
    return (
        "Images: the images could have been others. The interval of a seed says in which range the "
        f"{metric.title} of its model on all such images is likely to be; on average it is "
        f"{statistics.fmean(widths):.4f} wide."
    )


def _of_seeds(found: Repeats, metric: Metric) -> str:
    other = (
        "the training could have been another (all seeds have the same split)"
        if found.has_one_split
        else "the split and the training could have been others"
    )
    one = spread.of(found.values(metric))
    return (
        f"Seeds: {other}. With the same images, the {metric.title} varies from seed to seed with a "
        f"standard deviation of {one.deviation:.4f} around {one.mean:.4f}."
    )


def _difference(first: Repeats, other: Repeats, metric: Metric) -> str:
    differences = _differences(first, other, metric)
    one = spread.of(differences)
    p_value = _p_value(first, other, metric)
    test = (
        "no p-value, as all changes are equal: use more seeds"
        if p_value is None
        else f"p = {p_value:.2g}"
    )
    return (
        f"{metric.title}: {one.mean:+.4f} on average, with a standard deviation of "
        f"{one.deviation:.4f}; {test}"
    )


def _verdict(first: Repeats, other: Repeats, metric: Metric) -> str:
    p_value = _p_value(first, other, metric)
    mean = statistics.fmean(_differences(first, other, metric))
    count = len(first.results)
    if p_value is None or p_value >= _LEVEL:
        return f"Over {count} seeds, neither is better in {metric.title} beyond chance."
    is_better = (mean > 0) == metric.is_higher_better
    winner, loser = (other, first) if is_better else (first, other)
    return (
        f"Over {count} seeds, {winner.name} is better than {loser.name} in {metric.title} beyond "
        "chance."
    )


def _differences(first: Repeats, other: Repeats, metric: Metric) -> list[float]:
    pairs = zip(first.values(metric), other.values(metric), strict=True)
    return [after - before for before, after in pairs]


def _p_value(first: Repeats, other: Repeats, metric: Metric) -> float | None:
    ratio = sum(one.metrics["images"] for one in first.results) / sum(
        one.training for one in first.results
    )
    return spread.corrected_p_value(_differences(first, other, metric), ratio)


def _check_pairs(first: Repeats, other: Repeats) -> None:
    """Raise SeedlingsError if two variants do not have the same seeds, data and splits."""
    names = f"{first.name} and {other.name}"
    if first.seeds != other.seeds:
        raise SeedlingsError(
            f"expected the same seeds in {names}, found {_listed(first.seeds)} and "
            f"{_listed(other.seeds)}; run `seedlings repeat` with the same --seeds for both"
        )
    if len(first.seeds) < 2:
        raise SeedlingsError(f"expected at least 2 seeds in {names}, found {len(first.seeds)}")
    for what, ours, theirs in (
        ("task", first.task, other.task),
        ("evaluate.split", first.split, other.split),
    ):
        if ours != theirs:
            raise SeedlingsError(f"expected the same {what} in {names}, found {ours} and {theirs}")
    for before, after in zip(first.results, other.results, strict=True):
        _check_data(names, before, after)


def _check_data(names: str, before: Repeat, after: Repeat) -> None:
    if before.images != after.images:
        raise SeedlingsError(
            f"seed {before.seed}: expected the same images in {names}, found another data/raw: "
            "the data or the parameters of data differ"
        )
    if before.split != after.split:
        raise SeedlingsError(
            f"seed {before.seed}: expected the same split in {names}, found another "
            "data/split.csv: the parameters of split, the groups or the corrections differ, and "
            "so do the images that are compared"
        )


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _number(value: float) -> str:
    return f"{value:.4f}"


def _table(rows: list[list[str]]) -> list[str]:
    return tabulate(rows, headers="firstrow", tablefmt="plain", disable_numparse=True).splitlines()
