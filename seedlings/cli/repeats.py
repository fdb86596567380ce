"""The command `repeat`."""

import click


@click.command()
@click.argument("name", default="repeat")
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(min=2))
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1))
def repeat(name: str, seeds: int, jobs: int) -> None:
    """Show how much the score depends on the split and the training.

    Each seed is an experiment of DVC, NAME-seed0001 and so on, that differs from the commit in
    split.seed and finetune.seed alone. After a kill, the same command goes on. `seedlings compare
    --repeats A B` then compares two variants over seeds. See docs/models.md.
    """
    from seedlings.repeats import command  # DVC and SciPy, slow to import

    command.run(name, seeds=seeds, jobs=jobs, say=click.echo)


COMMANDS = (repeat,)
