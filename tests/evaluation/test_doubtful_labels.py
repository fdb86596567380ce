import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from seedlings.evaluation import doubtful_labels
from seedlings.tasks import TASKS

COUNT = 240
NAMES = ["clover", "grass", "oat"]


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubtful_labels, "_STEPS", 150)
    monkeypatch.setattr(doubtful_labels, "_RATE", 0.03)


def drawn(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Embeddings of three classes that are easily told apart."""
    classes = np.arange(COUNT) % 3
    return (rng.normal(0.0, 0.5, (COUNT, 6)) + 2.0 * np.eye(6)[classes]).astype(np.float32), classes


def fitted(
    embeddings: NDArray[np.float32], classes: NDArray[np.int64], groups: NDArray, count: int = 3
) -> NDArray[np.floating]:
    return doubtful_labels.cross_fitted(embeddings, classes, groups, count=count, seed=7)


@pytest.mark.slow
def test_wrong_labels_of_training_images_are_found(rng: np.random.Generator) -> None:
    embeddings, truth = drawn(rng)
    wrong = rng.choice(COUNT, 12, replace=False)
    labels = truth.copy()
    labels[wrong] = (truth[wrong] + 1) % 3
    probabilities = fitted(embeddings, labels, np.arange(COUNT))
    rows = pd.DataFrame({"path": [f"{n}.png" for n in range(COUNT)], "split": "train"})
    rows["digest"] = rows["path"]
    rows["label"] = np.array(NAMES)[labels]
    found = doubtful_labels.rank(rows, probabilities, labels, NAMES)
    assert set(found["path"].head(12)) == {f"{n}.png" for n in wrong}
    assert found.columns.tolist() == doubtful_labels.COLUMNS
    first = found.iloc[0]
    assert first["suggestion"] == NAMES[truth[int(first["path"].removesuffix(".png"))]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)


@pytest.mark.slow
def test_a_head_has_not_seen_the_image_nor_its_duplicates(rng: np.random.Generator) -> None:
    """Labels that are noise cannot be predicted for images whose group was not seen."""
    pairs = np.arange(COUNT) // 2
    labels = rng.integers(0, 3, COUNT // 2)[pairs]  # both images of a pair have one label
    embeddings = rng.normal(0.0, 1.0, (COUNT // 2, 80)).astype(np.float32)[pairs]
    for groups, expected in ((pairs, 0.33), (np.arange(COUNT), 0.8)):
        right = fitted(embeddings, labels, groups).argmax(axis=1) == labels
        assert right.mean() == pytest.approx(expected, abs=0.15)


@pytest.mark.slow
def test_the_only_image_of_a_class_is_not_judged(rng: np.random.Generator) -> None:
    embeddings, classes = drawn(rng)
    few = np.flatnonzero((classes < 2) | (np.arange(COUNT) == 2))[:40]
    probabilities = fitted(embeddings[few], classes[few], few, count=4)
    alone = classes[few] == 2
    assert alone.sum() == 1
    assert np.isnan(probabilities[alone]).all()
    np.testing.assert_allclose(probabilities[~alone].sum(axis=1), 1.0)
    rows = pd.DataFrame({"path": few, "split": "train", "label": classes[few], "digest": few})
    found = doubtful_labels.rank(rows, probabilities, classes[few], [*NAMES, "rye"])
    assert 2 not in found["label"].tolist()
    few = np.array([0, 1, 2])  # no class has two images
    assert np.isnan(fitted(embeddings[few], classes[few], few)).all()


def test_a_label_is_doubtful_if_another_class_is_as_probable_as_for_its_own_images() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1])
    first = np.array([0.9, 0.8, 0.25, 0.1, 0.45, 0.4])  # on average 0.65 for its own images
    second = 1.0 - first  # on average 0.68
    rows = pd.DataFrame(
        {"path": list("abcdef"), "split": "test", "label": [NAMES[n] for n in labels]}
    )
    rows["digest"] = list("123456")
    outputs = np.column_stack([first, second]).astype(np.float32)
    found = doubtful_labels.rank(rows, outputs, labels, NAMES[:2])
    assert found.to_dict("records") == [
        {
            "path": "c",
            "split": "test",
            "label": "clover",
            "probability": 0.25,
            "suggestion": "grass",
            "suggestion_probability": 0.75,
            "digest": "3",
        }
    ]


@pytest.mark.slow
def test_images_of_all_splits_are_ranked_together(rng: np.random.Generator) -> None:
    embeddings, _ = drawn(rng)
    classes = np.arange(COUNT) % 2
    embeddings[:, :2] = 3.0 * np.eye(2)[classes]
    labels = classes.copy()
    labels[[3, 160, 200]] = 1 - labels[[3, 160, 200]]  # one of each split
    table = pd.DataFrame({"path": [str(n) for n in range(COUNT)], "group": np.arange(COUNT)})
    table["label"] = np.array(NAMES)[labels]
    table["digest"] = table["path"]
    table["split"] = ["train"] * 150 + ["validation"] * 30 + ["test"] * 60
    confident = np.where(classes == 1, 0.99, 0.01)[:, None]
    confident[[160, 200]] = 0.001
    outputs = {"test": confident[180:], "validation": confident[150:180]}
    check = doubtful_labels.find(table, embeddings[:150], outputs, TASKS["binary"], seed=7)
    assert set(check.doubtful["path"].head(3)) == {"3", "160", "200"}
    assert set(check.doubtful["split"].head(3)) == {"train", "validation", "test"}
    margins = check.doubtful["suggestion_probability"] - check.doubtful["probability"]
    assert margins.is_monotonic_decreasing
    assert check.checked == COUNT
    assert check.agreeing == COUNT - 3
    assert check.is_reliable


@pytest.mark.slow
def test_labels_without_another_image_of_their_class_are_not_counted(
    rng: np.random.Generator,
) -> None:
    embeddings, classes = drawn(rng)
    few = np.flatnonzero((classes < 2) | (np.arange(COUNT) == 2))[:40]
    table = pd.DataFrame({"path": few.astype(str), "group": few, "split": "train"})
    table["digest"] = table["path"]
    table["label"] = np.array(NAMES)[classes[few]]
    check = doubtful_labels.find(table, embeddings[few], {}, TASKS["multiclass"], seed=7)
    assert check.checked == 39


@pytest.mark.parametrize(("listed", "is_reliable"), [(0, True), (20, True), (21, False)])
def test_a_list_with_more_than_a_fifth_of_the_labels_is_not_reliable(
    listed: int, is_reliable: bool
) -> None:
    check = doubtful_labels.Check(pd.DataFrame({"path": range(listed)}), 100, 47)
    assert check.is_reliable == is_reliable
    assert check.summary() == {
        "listed": listed,
        "decided": 0,
        "checked": 100,
        "agreeing": 47,
        "reliable": is_reliable,
    }


def test_a_label_that_a_person_has_decided_is_not_listed() -> None:
    doubtful = pd.DataFrame({"digest": list("1223"), "label": list("abaa")})
    decided = pd.DataFrame({"digest": ["2", "3", "9"], "label": ["b", "c", "a"]})
    check = doubtful_labels.Check(doubtful, 16, 9).without(decided)
    assert check.doubtful.to_dict("list") == {"digest": list("123"), "label": list("aaa")}
    assert check.summary()["decided"] == 1
    assert not check.is_reliable  # 4 of 16, as before: what was decided was a mistake of the model
    nothing = doubtful_labels.Check(doubtful, 16, 9).without(decided[:0])
    assert len(nothing.doubtful) == 4
