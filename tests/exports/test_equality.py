from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seedlings import images
from seedlings.errors import SeedlingsError
from seedlings.exports import equality
from seedlings.serving.inference import Inference

SEGMENT = {"method": "none", "background": "black", "pixels": [8, 8], "fit": "stretch"}


def inference(rows: Sequence[Sequence[float]], form: str, distance: float = 1.0) -> Inference:
    """An inference whose outputs for an image of brightness n are row n."""
    segment = {**SEGMENT, "empty_below": 0.0}
    contents = SimpleNamespace(
        answers=form, outputs=list("abc"), tag_threshold=0.5, largest_distance=1.0
    )

    def network(batch: Any) -> Any:
        outputs = np.array([rows[image[0, 0, 0]] for image in batch], np.float32)
        return outputs, np.full((len(batch), 1), distance, np.float32)

    return Inference(contents, SimpleNamespace(**segment), network)


def check(
    ours: Any, theirs: Any, form: str, distance: float = 1.0, limit: float = equality.LIMIT
) -> equality.Equality:
    files = [
        (f"{n}.png", images.encode_png(np.full((8, 8, 3), n, np.uint8))) for n in range(len(ours))
    ]
    return equality.check(inference(ours, form), inference(theirs, form, distance), files, limit)


def test_the_largest_differences_are_found() -> None:
    ours, theirs = [[0.2, 0.8], [0.5, 0.5]], [[0.2, 0.8], [0.500008, 0.499992]]
    found = check(ours, theirs, "classes", distance=1.00002)
    assert found.images == 2
    assert found.output == pytest.approx(8e-6, rel=0.02)
    assert found.distance == pytest.approx(2e-5, rel=0.02)


@pytest.mark.parametrize(
    ("ours", "theirs", "form"),
    [
        ([[0.500009, 0.499991]], [[0.5, 0.5]], "classes"),  # a tie within 2e-5
        ([[0.500004]], [[0.499996]], "two_classes"),
        ([[0.500004, 0.1]], [[0.499996, 0.1]], "tags"),
        ([[100.0], [0.0]], [[100.0009], [0.0]], "numbers"),  # 9e-6 of the range
    ],
)
def test_what_is_within_the_limits_is_equal(ours: Any, theirs: Any, form: str) -> None:
    assert check(ours, theirs, form).output < equality.LIMIT


@pytest.mark.parametrize(
    ("ours", "theirs", "form", "message"),
    [
        (
            [[0.2, 0.8], [0.3, 0.7]],
            [[0.2, 0.8], [0.30002, 0.69998]],
            "classes",
            "1.png: .* its out",
        ),
        ([[0.2], [0.3]], [[0.2], [np.nan]], "two_classes", "1.png: .* its output .* found nan"),
        ([[100.0], [0.0]], [[100.002], [0.0]], "numbers", "0.png: .* its output .* found 2e-05"),
        ([[0.1, 0.2]], [[0.1, 0.20002]], "tags", "0.png: .* its output"),
    ],
)
def test_what_is_beyond_the_limits_names_the_image(
    ours: Any, theirs: Any, form: str, message: str
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        check(ours, theirs, form)


def test_a_larger_limit_accepts_a_larger_difference_of_clear_answers() -> None:
    found = check([[0.2, 0.8]], [[0.20005, 0.79995]], "classes", limit=1e-4)
    assert found.output == pytest.approx(5e-5, rel=0.01)
    assert found.limit == 1e-4


def test_a_distance_that_differs_names_the_image() -> None:
    with pytest.raises(SeedlingsError, match="0.png: expected its distance"):
        check([[0.2, 0.8]], [[0.2, 0.8]], "classes", distance=1.001)


@pytest.mark.parametrize(
    ("ours", "theirs", "form"),
    [
        ([0.6, 0.4], [0.4, 0.6], "classes"),
        ([0.6], [0.4], "two_classes"),
        ([0.6, 0.1], [0.4, 0.1], "tags"),
    ],
)
def test_another_answer_is_named(ours: Any, theirs: Any, form: str) -> None:
    contents = SimpleNamespace(answers=form, tag_threshold=0.5)
    with pytest.raises(SeedlingsError, match="x.png: expected the answer of the packaged model"):
        equality._check_answer(np.array(ours), np.array(theirs), contents, "x.png", 1e-5)
