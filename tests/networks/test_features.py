from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seedlings.io import store
from seedlings.networks import backbones, features, models
from seedlings.params import check


def test_features_are_the_extractors_output_in_the_order_of_the_images(
    tmp_path: Path, tree: dict[str, Any], rng: np.random.Generator
) -> None:
    extractor = backbones.build(check(tree).extract, 32, 32).feature_extractor
    images = rng.integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)
    with store.create(tmp_path / "images", images.shape[1:], np.uint8) as writer:
        writer.append(images)
    features.extract(extractor, tmp_path / "images", tmp_path / "features", batch_size=4, key="x")
    found = store.read(tmp_path / "features", 0, 11)
    assert found.shape == (11, 1, 1, 512)
    assert found.dtype == np.float32
    one_by_one = np.concatenate([extractor.predict(image[None], verbose=0) for image in images])
    np.testing.assert_allclose(found, one_by_one, rtol=1e-3, atol=1e-6)


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_killed_run_resumes_after_its_last_batch(
    tmp_path: Path,
    tree: dict[str, Any],
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    extractor = backbones.build(check(tree).extract, 32, 32).feature_extractor
    images = rng.integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)
    with store.create(tmp_path / "images", images.shape[1:], np.uint8) as writer:
        writer.append(images)
    computed: list[int] = []

    def counting(extractor: Any, limit: int) -> Any:
        function = compiled(extractor)

        def run(batch: np.ndarray) -> np.ndarray:
            if len(computed) == limit:
                raise Killed
            computed.append(len(batch))
            return function(batch)

        return run

    def extract(name: str, limit: int, key: str) -> None:
        monkeypatch.setattr(models, "compiled", lambda extractor: counting(extractor, limit))
        computed.clear()
        features.extract(extractor, tmp_path / "images", tmp_path / name, batch_size=4, key=key)

    compiled = models.compiled
    extract("undisturbed", 99, "key")
    assert computed == [4, 4, 3]
    with pytest.raises(Killed):
        extract("killed", 2, "key")
    assert not (tmp_path / "killed").exists()
    capsys.readouterr()
    extract("killed", 99, "key")
    assert computed == [3]
    assert "8 of 11 images were done before, 3 remain" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "killed", "undisturbed"]
    for path in (tmp_path / "undisturbed").rglob("*"):
        if path.is_file():
            again = tmp_path / "killed" / path.relative_to(tmp_path / "undisturbed")
            assert path.read_bytes() == again.read_bytes()

    with pytest.raises(Killed):
        extract("other", 2, "key")
    extract("other", 99, "another key")
    assert computed == [4, 4, 3]
