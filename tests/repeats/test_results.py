"""What the commands `repeat` and `compare --repeats` say."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from seedlings.errors import SeedlingsError
from seedlings.repeats import results
from seedlings.repeats.experiments import Repeat, Repeats


def repeats(
    name: str, accuracies: Sequence[float], task: str = "multiclass", **others: Any
) -> Repeats:
    """Repeats with these accuracies (of a number: errors), of a fifth of the images each."""
    found = []
    main = {"multiclass": "accuracy", "regression": "mae"}[task]
    for seed, value in enumerate(accuracies, 1):
        metrics = {f"finetuned/{main}": value, "images": 25.0}
        metrics |= {f"finetuned/{main}_low": value - 0.1, f"finetuned/{main}_high": value + 0.1}
        if task == "multiclass":
            metrics["finetuned/log_loss"] = 1.0 - value
        one = Repeat(seed, {"task": task}, metrics, 100, "images", f"split {seed}")
        found.append(replace(one, **others))
    return Repeats(name, tuple(found))


def test_each_seed_is_listed_with_its_interval_and_below_it_the_spread() -> None:
    found = [line.split("  ") for line in results.lines(repeats("wide", [0.8, 0.9, 0.7]))]
    rows = [[cell.strip() for cell in line if cell.strip()] for line in found]
    assert rows[0] == ["wide: 3 seeds, evaluated on test images"]
    assert rows[2:10] == [
        ["seed", "accuracy", "log loss"],
        ["1", "0.8000 (0.7000 to 0.9000)", "0.2000"],
        ["2", "0.9000 (0.8000 to 1.0000)", "0.1000"],
        ["3", "0.7000 (0.6000 to 0.8000)", "0.3000"],
        ["mean", "0.8000", "0.2000"],
        ["standard deviation", "0.1000", "0.1000"],
        ["lowest", "0.7000", "0.1000"],
        ["highest", "0.9000", "0.3000"],
    ]


def test_a_sentence_says_what_each_spread_means() -> None:
    *_, images, seeds = results.lines(repeats("wide", [0.8, 0.9, 0.7]))
    assert images == (
        "Images: the images could have been others. The interval of a seed says in which range the "
        "accuracy of its model on all such images is likely to be; on average it is 0.2000 wide."
    )
    assert seeds == (
        "Seeds: the split and the training could have been others. With the same images, the "
        "accuracy varies from seed to seed with a standard deviation of 0.1000 around 0.8000."
    )


def test_with_one_split_the_spread_is_that_of_the_training() -> None:
    given = repeats("given", [0.8, 0.9, 0.7], split="folders")
    *_, seeds = results.lines(given)
    assert "the training could have been another (all seeds have the same split)." in seeds
    *_, note = results.compared(given, given)
    assert note == "All seeds have the same split, so this says nothing about other splits."


def test_the_better_variant_is_the_one_that_is_better_beyond_chance_over_seeds() -> None:
    before = repeats("base", [0.70, 0.80, 0.75, 0.72, 0.78])
    after = repeats("wide", [0.80, 0.91, 0.84, 0.82, 0.88])
    *lines, accuracy, loss, verdict = results.compared(before, after)
    assert lines[0] == "base → wide: 5 seeds, on test images of the same splits"
    assert lines[3].split() == ["1", "0.7000", "0.8000", "+0.1000", "0.3000", "0.2000", "-0.1000"]
    # mean 0.1, standard deviation sqrt(0.0002 / 4); t = 0.1 / (0.00707 * sqrt(1/5 + 1/4)) = 21.1
    assert accuracy == (
        "accuracy: +0.1000 on average, with a standard deviation of 0.0071; p = 3e-05"
    )
    assert loss == "log loss: -0.1000 on average, with a standard deviation of 0.0071; p = 3e-05"
    assert verdict == "Over 5 seeds, wide is better than base in accuracy beyond chance."
    *_, verdict = results.compared(after, before)
    assert verdict == "Over 5 seeds, wide is better than base in accuracy beyond chance."


def test_a_lower_error_is_better() -> None:
    before = repeats("base", [0.70, 0.80, 0.75], "regression")
    after = repeats("wide", [0.60, 0.71, 0.65], "regression")
    *_, verdict = results.compared(before, after)
    assert verdict == "Over 3 seeds, wide is better than base in MAE beyond chance."


@pytest.mark.parametrize(
    ("accuracies", "test"),
    [
        ([0.80, 0.85, 0.70], "p = 0.63"),  # t = 0.0333 / (0.0764 * sqrt(1/3 + 1/4))
        ([0.75, 0.85, 0.80], "no p-value, as all changes are equal: use more seeds"),
        ([0.70, 0.80, 0.75], "p = 1"),
    ],
)
def test_a_change_that_may_be_chance_is_no_improvement(accuracies: list[float], test: str) -> None:
    found = results.compared(repeats("base", [0.70, 0.80, 0.75]), repeats("wide", accuracies))
    *_, accuracy, _, verdict = found
    assert accuracy.endswith(f"; {test}")
    assert verdict == "Over 3 seeds, neither is better in accuracy beyond chance."


@pytest.mark.parametrize(
    ("other", "match"),
    [
        (repeats("b", [0.7, 0.8]), "the same seeds in a and b, found 1, 2, 3 and 1, 2; run"),
        (repeats("b", [0.7, 0.8, 0.7], "regression"), "same task in a and b, found multiclass and"),
        (
            repeats("b", [0.7] * 3, params={"task": "multiclass", "evaluate.split": "validation"}),
            "same evaluate.split in a and b, found test and validation",
        ),
        (repeats("b", [0.7] * 3, images="x"), "seed 1: expected the same images in a and b"),
        (repeats("b", [0.7] * 3, split="split 1"), "seed 2: expected the same split in a and b"),
    ],
    ids=["seeds", "task", "evaluated", "images", "split"],
)
def test_variants_that_are_no_pairs_are_refused(other: Repeats, match: str) -> None:
    with pytest.raises(SeedlingsError, match=match):
        list(results.compared(repeats("a", [0.7, 0.8, 0.9]), other))


def test_one_seed_is_no_comparison() -> None:
    one = repeats("a", [0.7])
    with pytest.raises(SeedlingsError, match="expected at least 2 seeds in a and a, found 1"):
        list(results.compared(one, one))
