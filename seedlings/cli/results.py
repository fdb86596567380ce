"""The commands `summary` and `compare`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seedlings.config import paths, records
from seedlings.config.records import Record
from seedlings.errors import SeedlingsError
from seedlings.report import notes, summaries

if TYPE_CHECKING:
    from seedlings.tracking.comparisons import Changes, Table

_SHOWN = 5


@click.command()
def summary() -> None:
    """Show the data, the metrics of all models, warnings, and the paths of the figures."""
    path = paths.record("evaluate")
    if not path.exists():
        raise SeedlingsError(f"expected {path}, found none; run `make repro` or `dvc pull`")
    found = {stage: _record(stage) for stage in notes.STAGES}
    record = found["evaluate"]
    split = summaries.split(record.params)
    for line in _data(found):
        click.echo(line)
    _show(record.metrics, split)
    if corrected := summaries.corrected(record.metrics, split):
        click.echo(f"\n{corrected}")
    if before := summaries.original_labels(record.metrics):
        _show(before, split, " with the original labels")
    if rest := summaries.without_crossing(record.metrics):
        _show(rest, split, f" without duplicates in {summaries.other_splits(split)}")
    if note := summaries.note(split):
        click.echo(f"\n{note}")
    for sentence in notes.warnings(found):
        click.echo(f"\n{click.wrap_text(f'Warning: {sentence}', 100)}")
    if paths.PAGE.exists():
        click.echo(f"\nReport:  {paths.PAGE}")
    if paths.MODEL_CARD.exists():
        click.echo(f"Card:    {paths.MODEL_CARD}")
    click.echo("\nPictures:")
    for picture in pictures():
        click.echo(f"  {picture}")
    click.echo("\nMLflow:  make ui")


def _record(stage: str) -> Record:
    path = paths.record(stage)
    return records.read(path) if path.exists() else Record(stage)


def _data(found: Mapping[str, Record]) -> Iterable[str]:
    """Yield lines about the data and the files that are left out."""
    if data := notes.data(found):
        yield f"\n{data}"
    for note in notes.left_out(found):
        yield f"\n{note.text}"
        yield from (f"  {line}" for line in (*note.examples, note.rest) if line)


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
@click.option(
    "--repeats", "over_seeds", is_flag=True, help="NAMES are those of `seedlings repeat`."
)
def compare(names: tuple[str, ...], page: Path, over_seeds: bool) -> None:
    """Compare the parameters, metrics, predictions and splits of revisions.

    NAMES are experiments, revisions, runs in MLflow, or `workspace`. A single name is compared with
    the workspace. With --repeats, say which variant is better over seeds.
    """
    if over_seeds:
        _compare_repeats(names)
        return
    from seedlings.tracking import comparisons, outputs  # pandas and SciPy, slow to import

    if len(names) == 1:
        names = (*names, outputs.WORKSPACE)
    sides = [comparisons.side(name) for name in names]
    first, *others = sides
    compared = [(comparisons.differing(first, x), comparisons.changes(first, x)) for x in others]
    for tables, changes in compared:
        click.echo(f"\nImages, {first.name} → {changes.name}: {changes.images}")
        _show_tables(tables, first.name, changes.name)
        for line in _changes(first.name, changes):
            click.echo(line)
    comparisons.write(sides, compared, page)
    click.echo(f"\nPage with the images: {page}")


def _compare_repeats(names: tuple[str, ...]) -> None:
    """Compare the repeats of the first name with those of each of the others."""
    from seedlings.repeats import experiments, results  # DVC and SciPy, slow to import

    if len(names) < 2:
        raise SeedlingsError(
            f"expected two names of `seedlings repeat` with --repeats, found {names[0]}"
        )
    first, *others = [experiments.find(name) for name in names]
    for other in others:
        for line in results.compared(first, other):
            click.echo(line)


def _show_tables(tables: "Mapping[str, Table]", first: str, other: str) -> None:
    """Print what differs between two revisions as DVC prints it."""
    from dvc.compare import show_diff

    for title, rows in tables.items():
        click.echo(f"\n{title}: {'' if rows else 'none differs'}")
        if rows:
            show_diff({"": rows}, "", no_path=True, precision=5, a_rev=first, b_rev=other)


def _changes(first: str, found: "Changes") -> Iterable[str]:
    """Yield lines about the images that two sides evaluate, and about the changed splits."""
    yield (
        f"\nEvaluated: {found.counts[0]} in {first}, {found.counts[1]} in {found.name}, "
        f"{found.common} in both"
    )
    if found.relabelled:
        yield f"  without {found.relabelled} in both whose labels differ"
    for title, values in found.scores.items():
        yield f"  {title} on those in both: {' → '.join(values)}"
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


COMMANDS = (summary, compare)
