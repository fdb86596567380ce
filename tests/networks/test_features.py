import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import arrays
from seedlings.config.reuse import Reuse
from seedlings.io import parts
from seedlings.io.shards import Here, Shard
from seedlings.networks import backbones, features, models
from seedlings.params import check


def work_of(extractor: Any, images: Path, batch_size: int = 4) -> features.Extraction:
    return features.Extraction(extractor, images, batch_size=batch_size, seed=42, threads=2)


def extract(extractor: Any, images: Path, target: Path, last: Path | None = None) -> None:
    work = work_of(extractor, images)
    features.extract(work, images, target, engine=Here(), last=Reuse("key", last))


@pytest.mark.slow
def test_features_are_the_extractors_output_in_the_order_of_the_images(
    tmp_path: Path, tree: dict[str, Any], rng: np.random.Generator
) -> None:
    extractor = backbones.build(check(tree).extract, 32, 32).feature_extractor
    images = rng.integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)
    arrays.write(tmp_path / "images", images)
    extract(extractor, tmp_path / "images", tmp_path / "features")
    found = arrays.read(tmp_path / "features", 0, 11)
    assert found.shape == (11, 1, 1, 512)
    assert found.dtype == np.float32
    one_by_one = np.concatenate([extractor.predict(image[None], verbose=0) for image in images])
    np.testing.assert_allclose(found, one_by_one, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["none", "average"])
def test_a_row_is_reused_for_the_same_cut_out_alone_whatever_file_it_comes_from(
    pooling: str,
    tmp_path: Path,
    tree: dict[str, Any],
    rng: np.random.Generator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tree["extract"]["pooling"] = pooling
    extractor = backbones.build(check(tree).extract, 32, 32).feature_extractor
    cut_outs = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    other = cut_outs.copy()
    other[2, 5, 7, 1] ^= 1  # one pixel of one cut-out
    files = {name: parts.digests([f"{name}{n}" * 16 for n in range(4)]) for name in "ab"}
    arrays.write(tmp_path / "images", cut_outs, files["a"])
    extract(extractor, tmp_path / "images", tmp_path / "last/data/features")

    def computed(name: str, images: np.ndarray, names: parts.Digests, shown: str) -> None:
        arrays.write(tmp_path / name / "images", images, names)
        capsys.readouterr()
        for target, last in (("grown", tmp_path / "last"), ("rebuilt", None)):
            extract(extractor, tmp_path / name / "images", tmp_path / name / target, last)
            assert shown in capsys.readouterr().out or last is None
        files = [file for file in (tmp_path / name / "rebuilt").rglob("*") if file.is_file()]
        assert len(files) > 3
        for file in files:
            grown = tmp_path / name / "grown" / file.relative_to(tmp_path / name / "rebuilt")
            assert file.read_bytes() == grown.read_bytes()

    computed("pixel", other, files["a"], "3 of 4 rows are reused from the cache, 1 are comp")
    computed("names", cut_outs, files["b"], "4 of 4 rows are reused from the cache, 0 are co")
    twice = cut_outs[[0, 1, 2, 1]]  # two files with one cut-out
    computed("twice", twice, files["a"], "3 of 3 rows are reused from the cache, 0 are comp")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "cut", "pooling"),
    [
        ("VGG16", "block5_pool", "none"),
        ("VGG16", None, "average"),
        ("ResNet50", "conv5_block3_out", "none"),
        ("MobileNet", "conv_pw_13_relu", "none"),
        ("EfficientNetLite0", None, "none"),
        ("EfficientNetLite0", None, "average"),
    ],
)
def test_features_do_not_depend_on_the_place_and_the_neighbours_in_a_padded_batch(
    backbone: str,
    cut: str | None,
    pooling: str,
    tmp_path: Path,
    tree: dict[str, Any],
    rng: np.random.Generator,
) -> None:
    tree["extract"] |= {"backbone": backbone, "cut": cut, "pooling": pooling}
    extractor = backbones.build(check(tree).extract, 48, 48).feature_extractor
    work = work_of(extractor, tmp_path, batch_size=8)
    images = rng.integers(0, 256, (8, 48, 48, 3), dtype=np.uint8)
    whole = work.run(images)[0]
    assert len({row.tobytes() for row in whole}) == 8
    for count in (1, 3, 8):
        chosen = rng.permutation(8)[:count]
        found = work.run(images[chosen])[0]
        assert found.tobytes() == whole[chosen].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["none", "average"])
def test_a_copy_in_another_process_gives_the_same_features(
    pooling: str, tmp_path: Path, tree: dict[str, Any], rng: np.random.Generator
) -> None:
    tree["extract"]["pooling"] = pooling
    extractor = backbones.build(check(tree).extract, 32, 32).feature_extractor
    images = rng.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    names = arrays.write(tmp_path / "images", images)
    work = work_of(extractor, tmp_path / "images")
    copy = pickle.loads(pickle.dumps(work))
    copy.__dict__["_model"] = models.from_bytes(copy._saved)  # prepare() belongs to a new process
    shard = Shard("a", tuple(("", name.decode()) for name in names[:3].tolist()), ("",) * 3)
    assert np.array_equal(work.read(shard), images[:3])
    assert copy.run(copy.read(shard))[0].tobytes() == work.run(images[:3])[0].tobytes()
    assert copy.numerics() == work.numerics()
    other = work_of(extractor, tmp_path / "images", batch_size=2)
    assert other.numerics() != work.numerics()
