import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seedlings.errors import SeedlingsError
from seedlings.exports import cached, equality
from seedlings.serving.predictor import Predictor

Files = list[tuple[str, bytes]]
Package = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "seedlings" / "exports"


def test_an_export_is_made_once_a_model_and_answers_as_it_does(
    package: Package, files: Files, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = package("multiclass"), package("multiclass", name="2")
    networks = [cached.network(path, files) for path in (first, second)]
    assert len(list(filter(Path.is_dir, cache.iterdir()))) == 2
    monkeypatch.setattr(cached, "_make", lambda *_: pytest.fail("made again"))
    cut_outs = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    for path, made in zip((first, second), networks, strict=True):
        again = cached.network(path, [])
        expected, _ = Predictor(path).run(cut_outs)
        for network in (made, again):
            found = Predictor(path, (network, "litert"))
            np.testing.assert_allclose(found.run(cut_outs)[0], expected, rtol=0, atol=1e-5)


def test_an_export_with_other_answers_is_refused_at_every_use(
    package: Package, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = package("binary")
    monkeypatch.setattr(equality, "LIMIT", -1.0)
    for _ in range(2):
        with pytest.raises(SeedlingsError, match=r"\.png: expected its output"):
            cached.network(made, files)
        monkeypatch.undo()
        monkeypatch.setenv("XDG_CACHE_HOME", str(made.parent / "cache"))


def test_without_an_image_to_compare_nothing_is_kept(
    package: Package, files: Files, cache: Path
) -> None:
    made = package("binary")
    with pytest.raises(equality.NoImagesError):
        cached.network(made, files[-1:])
    assert not list(filter(Path.is_dir, cache.iterdir()))
    cached.network(made, files)


def test_the_exports_that_were_used_last_are_kept(cache: Path) -> None:
    for number in range(11):
        (cache / f"{number}").mkdir(parents=True)
        os.utime(cache / f"{number}", (number, number))
    cached._remove_old(cache)
    assert sorted(int(path.name) for path in cache.iterdir()) == list(range(3, 11))
