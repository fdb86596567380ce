from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from seedlings.io import parts, store
from seedlings.review import neighbours

COUNT = 700  # more than a batch


def stored(path: Path, features: np.ndarray) -> store.Array:
    keys = parts.digests([parts.digest(bytes([n % 256, n // 256])) for n in range(len(features))])
    by_key = dict(zip(keys.tolist(), features, strict=True))
    row_shape = features.shape[1:]
    store.write(
        path,
        keys,
        lambda part: np.array([by_key[key] for key in part.tolist()]).reshape(-1, *row_shape),
        row_shape=row_shape,
        dtype=np.float32,
    )
    return store.Array(path)


@pytest.mark.parametrize("shape", [(5,), (3, 2, 5)])
def test_the_nearest_are_those_of_scipy_s_cosine_distance_of_the_means_over_places(
    shape: tuple[int, ...], tmp_path: Path, rng: np.random.Generator
) -> None:
    features = rng.normal(size=(COUNT, *shape)).astype(np.float32)
    among = rng.permutation(COUNT)[:650]
    among.sort()
    queries = np.array([3, 99, 600])
    digests = np.array([str(number) for number in range(COUNT)])
    found = neighbours.nearest(stored(tmp_path / "f", features), queries, among, digests, count=4)
    means = features.reshape(COUNT, -1, 5).mean(axis=1)
    distances = cdist(means[queries], means[among], "cosine")
    distances[queries[:, None] == among] = np.inf
    order = distances.argsort(axis=1)[:, :4]
    assert found.rows.tolist() == among[order].tolist()
    expected = np.take_along_axis(distances, order, axis=1)
    np.testing.assert_allclose(found.distances, expected, atol=1e-6)


def test_an_image_is_no_neighbour_of_its_copies_and_missing_ones_are_marked(
    tmp_path: Path,
) -> None:
    features = np.array([[1, 0], [1, 0], [1, 1]], np.float32)
    digests = np.array(["a", "a", "b"])
    rows = np.arange(3)
    found = neighbours.nearest(stored(tmp_path / "f", features), rows[:1], rows, digests, count=3)
    assert found.rows.tolist() == [[2, -1, -1]]
    np.testing.assert_allclose(found.distances[0, 0], 1 - 0.5**0.5, atol=1e-6)
    assert np.isinf(found.distances[0, 1:]).all()


def test_features_that_are_zero_are_as_far_from_all() -> None:
    vectors = neighbours.unit_vectors(np.array([[0, 0], [3, 4]], np.float64))
    np.testing.assert_allclose(vectors, [[0, 0], [0.6, 0.8]], rtol=1e-6)
