"""The commands `summary` and `compare`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seedlings.config import paths, records
from seedlings.errors import SeedlingsError
from seedlings.report import summaries

if TYPE_CHECKING:
    from seedlings.tracking.comparisons import Changes

_SHOWN = 5


@click.command()
def summary() -> None:
    """Show the metrics of all models, and the paths of the figures."""
    path = paths.record("evaluate")
    if not path.exists():
        raise SeedlingsError(f"expected {path}, found none; run `make repro` or `dvc pull`")
    record = records.read(path)
    split = summaries.split(record.params)
    _show(record.metrics, split)
    if rest := summaries.without_crossing(record.metrics):
        _show(rest, split, f" without duplicates in {summaries.other_splits(split)}")
    if note := summaries.note(split):
        click.echo(f"\n{note}")
    if paths.PAGE.exists():
        click.echo(f"\nReport:  {paths.PAGE}")
    click.echo("\nPictures:")
    for picture in pictures():
        click.echo(f"  {picture}")
    click.echo("\nMLflow:  make ui")


def _show(metrics: Mapping[str, float], split: str, which: str = "") -> None:
    click.echo(f"\nOn {summaries.count(metrics, split)}{which}:\n")
    for line in _side_by_side(metrics):
        click.echo(f"  {line}")
    click.echo(f"\n  {summaries.comparison(metrics)}")
    if absent := summaries.absent(metrics):
        click.echo(f"\n  {absent}")


def _side_by_side(metrics: Mapping[str, float]) -> Iterable[str]:
    """Yield the lines of a table with a column for each model and a row for each metric."""
    yield f"{'':<20}" + "".join(f"{name:>12}" for name in summaries.models(metrics))
    for line in summaries.lines(metrics):
        title = "  " * line.is_end + line.title
        yield f"{title:<20}" + "".join(f"{cell:>12}" for cell in line.cells)


def pictures() -> list[str]:
    """Return the paths of the pictures of all stages that have a record."""
    found = []
    for path in sorted(paths.REPORTS.glob("*/record.json")):
        found += records.read(path).pictures
    return found


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    default="comparison.html",
    show_default=True,
    help="The HTML file to write, with the images.",
)
def compare(names: tuple[str, ...], page: Path) -> None:
    """Compare the parameters, metrics, predictions and splits of revisions.

    NAMES are experiments, revisions, runs in MLflow, or `workspace`. A single name is compared with
    the workspace.
    """
    from seedlings.tracking import comparisons  # pandas and SciPy, slow to import

    if len(names) == 1:
        names = (*names, comparisons.WORKSPACE)
    sides = [comparisons.side(name) for name in names]
    found = [comparisons.changes(sides[0], other) for other in sides[1:]]
    for title, rows in (
        ("Parameters", comparisons.differing(sides)),
        ("Metrics", comparisons.side_by_side(sides)),
    ):
        click.echo(f"\n{title} that differ:" if rows else f"\n{title}: none differs")
        for line in _columns({"": list(names), **rows} if rows else {}):
            click.echo(f"  {line}")
    for entry in found:
        for line in _changes(names[0], entry):
            click.echo(line)
    comparisons.write(sides, found, page)
    click.echo(f"\nPage with the images: {page}")


def _changes(first: str, found: "Changes") -> Iterable[str]:
    """Yield lines about the images that two sides evaluate, and about the changed splits."""
    yield (
        f"\n{found.title}: {found.counts[0]} in {first}, {found.counts[1]} in {found.name}, "
        f"{found.common} in both"
    )
    if found.scores:
        for line in _columns({"on those in both": [first, found.name], **found.scores}):
            yield f"  {line}"
    groups = "" if found.groups == found.common else f" in {found.groups} groups"
    yield (
        f"Of these {found.common}{groups}, {first} → {found.name}: {len(found.better)} better, "
        f"{len(found.worse)} worse; p = {found.p_value:.2g}"
    )
    for how, changed in (("better", found.better), ("worse", found.worse)):
        for change in changed[:_SHOWN]:
            yield f"  {how:<7} {change.path}: {change.before} → {change.after}"
    yield f"Images whose split changed: {len(found.split_changes) or 'none'}"
    yield from (f"  {change}" for change in found.split_changes[:_SHOWN])
    if len(found.split_changes) > _SHOWN:
        yield f"  and {len(found.split_changes) - _SHOWN} more"


def _columns(rows: Mapping[str, Sequence[object]]) -> Iterable[str]:
    """Yield rows as lines of text with aligned columns."""
    texts = [[title, *map(str, values)] for title, values in rows.items()]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for text in texts:
        cells = [cell.ljust(width) for cell, width in zip(text, widths, strict=True)]
        yield "  ".join(cells).rstrip()


COMMANDS = (summary, compare)
