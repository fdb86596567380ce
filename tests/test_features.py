from pathlib import Path
from typing import Any

import numpy as np

from seedlings import backbones, features, store
from seedlings.params import check


def test_features_are_the_trunks_output_in_the_order_of_the_images(
    tmp_path: Path, tree: dict[str, Any], rng: np.random.Generator
) -> None:
    trunk = backbones.build(check(tree).extract, 32, 32).trunk
    images = rng.integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)
    with store.create(tmp_path / "images", images.shape[1:], np.uint8) as writer:
        writer.append(images)
    features.extract(trunk, tmp_path / "images", tmp_path / "features", batch_size=4)
    found = store.read(tmp_path / "features", 0, 11)
    assert found.shape == (11, 1, 1, 512)
    assert found.dtype == np.float32
    one_by_one = np.concatenate([trunk.predict(image[None], verbose=0) for image in images])
    np.testing.assert_allclose(found, one_by_one, rtol=1e-3, atol=1e-6)
