"""Prediction at scale: parts, kills, errors, and object storage."""

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import clusters
import numpy as np
import pandas as pd
import pytest
import s3fs
import servers
from numpy.typing import NDArray
from pyarrow import parquet as pq

from benchmarks import networks
from seedlings import images, processor
from seedlings.cluster.engine import Cluster
from seedlings.errors import SeedlingsError
from seedlings.io.shards import Here, Shard
from seedlings.networks import architectures
from seedlings.params import Params
from seedlings.serving import bulk, listing, predictions
from seedlings.serving.predictor import Predictor
from seedlings.tasks import TASKS

NAMES = {"multiclass": ["a", "b", "path"], "binary": ["a", "b"], "multilabel": ["sea", "sky"]}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SIZE", 7)


@pytest.fixture
def model(tmp_path: Path, params: Params) -> Callable[..., Path]:
    """A bundle of a small network, with random weights of its own."""

    def make(name: str = "model", task: str = "multiclass", *, portable: bool = True) -> Path:
        units = {"multiclass": 3, "multilabel": 2}.get(task, 1)
        network = architectures.baseline((20, 24, 3), units, TASKS[task])
        segment = {**params.segment.model_dump(), "pixels": [20, 24], "method": "none"}
        outputs = NAMES.get(task, ["value"])
        contents = networks.contents(
            task, outputs, segment, largest_distance=253.0, portable=portable
        )
        networks.package(network, contents, tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def folder(tmp_path: Path, noise: Callable[..., NDArray[np.uint8]]) -> Path:
    """50 files: 45 images in two folders, some with odd names, and 5 that are no images."""
    root = tmp_path / "images"
    names = ["a b.png", "a[1].png", "q?x*.png", "a::b.png", "ä.png", "100%.png", "#1.png"]
    names += [f"{number:03d}.PNG" for number in range(38)]
    for number, name in enumerate(names):
        path = root / f"{number % 2}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.encode_png(noise(30, 30 + number)))
    (root / "0" / "cut.png").write_bytes(path.read_bytes()[:300])
    (root / "0.png").touch()
    (root / "notes.txt").write_text("notes")
    (root / "zero.png").write_bytes(b"\0" * 50)
    (root / "zz.txt").write_text("zz")
    (root / ".DS_Store").write_bytes(b"x")
    return root


def predict(model: Path, output: str | Path, *paths: str | Path, **more: Any) -> bulk.Summary:
    options = {"engine": Here(), "overwrite": False, **more}
    return bulk.predict(model, [str(path) for path in paths], str(output), **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Stops:
    """An engine that computes some shards and then fails, as a killed run does."""

    def __init__(self, shards: int) -> None:
        self.shards = shards

    def map(self, work: Any, shards: Sequence[Shard], sink: Any) -> None:
        Here().map(work, shards[: self.shards], sink)
        raise KeyboardInterrupt


@pytest.mark.parametrize("task", ["multiclass", "binary", "multilabel", "regression"])
def test_the_answers_are_those_of_one_run_in_memory(
    model: Callable[..., Path], folder: Path, tmp_path: Path, task: str
) -> None:
    package = model(task=task)
    done = predict(package, tmp_path / "answers.parquet", folder)
    assert (done.files, done.errors) == (50, 5)
    table = pd.read_parquet(tmp_path / "answers.parquet")
    expected, bad = predictions.of_files(Predictor(package), [folder])
    assert list(table) == [*expected, "error"]
    assert 10 < (expected["out_of_distribution"] != "").sum() < 40
    good = table[table["error"] == ""].reset_index(drop=True)
    assert good["path"].tolist() == expected["path"].tolist()
    for name in set(expected) - {"path", "probabilities"}:
        if expected[name].dtype == np.float64:
            assert good[name].to_numpy() == pytest.approx(expected[name].to_numpy(), abs=1e-5)
        else:
            assert good[name].tolist() == expected[name].tolist()
    if "probabilities" in expected:
        for one, other in zip(good["probabilities"], expected["probabilities"], strict=True):
            assert one == pytest.approx(other, abs=1e-5)
    failed = table[table["error"] != ""]
    assert (failed["path"] + ": " + failed["error"]).tolist() == bad
    assert failed.drop(columns=["path", "error"]).isna().all(axis=None)
    assert done.first_errors == bad


def test_every_file_has_one_row_in_the_order_of_the_paths(
    model: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    predict(model(), tmp_path / "answers.parquet", folder)
    paths = pd.read_parquet(tmp_path / "answers.parquet")["path"].tolist()
    visible = (path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    assert paths == [str(path) for path in sorted(visible)]
    parts = sorted((tmp_path / "answers.parquet").glob("*.parquet"))
    assert [pq.read_metadata(part).num_rows for part in parts] == [7] * 7 + [1]
    assert (tmp_path / "answers.parquet" / "_SUCCESS").exists()


def test_a_stopped_run_is_resumed_with_the_same_bytes(
    model: Callable[..., Path],
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = model()
    predict(package, tmp_path / "whole", folder)
    for shards, done in ((3, 3), (5, 5)):
        with pytest.raises(KeyboardInterrupt):
            predict(package, tmp_path / "stopped", folder, engine=Stops(shards))
        assert len([*(tmp_path / "stopped").glob("*.parquet")]) == done
        assert not (tmp_path / "stopped" / "_SUCCESS").exists()
    (tmp_path / "stopped" / ".part-000005.parquet.partial").write_bytes(b"half")
    capsys.readouterr()
    predict(package, tmp_path / "stopped", folder)
    assert "35 of 50 images were done before, 15 remain" in capsys.readouterr().out
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    monkeypatch.setattr(bulk.Answers, "run", None)  # nothing is left to compute
    assert predict(package, tmp_path / "stopped", folder).images_per_second == 0


def test_an_answer_does_not_depend_on_other_files(
    model: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    package = model()
    work = bulk.Answers(package)
    paths = sorted(map(str, (folder / "1").iterdir()))
    whole = work.run(work.read(Shard("x", tuple(paths), tuple(paths))))
    Path(paths[0]).write_text("no image any more")
    alone = work.run(work.read(Shard("x", tuple(paths[:2]), tuple(paths[:2]))))
    assert alone.slice(1, 1).equals(whole.slice(1, 1))
    assert alone["error"][0].as_py().startswith("expected an image")


def test_answers_of_another_model_or_list_are_not_mixed(
    model: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "answers.parquet"
    predict(model(), output, folder)
    before = contents(output)
    with pytest.raises(SeedlingsError, match="found those of another model; .* --overwrite"):
        predict(model("other"), output, folder)
    with pytest.raises(SeedlingsError, match="found those of another list or version of files"):
        predict(tmp_path / "model", output, folder / "0")
    [changed, other, *_] = sorted((folder / "0").glob("*.PNG"), reverse=True)
    changed.write_bytes(other.read_bytes())
    with pytest.raises(SeedlingsError, match="found those of another list or version of files"):
        predict(tmp_path / "model", output, folder)
    assert contents(output) == before
    predict(tmp_path / "other", output, folder / "0", overwrite=True)
    predict(tmp_path / "other", tmp_path / "new", folder / "0")
    assert contents(output) == contents(tmp_path / "new")


def test_other_outputs_are_refused(
    model: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    (tmp_path / "file").touch()
    for name, match in (
        ("mine", "expected a new folder .*found thesis.txt"),
        ("file", "expected a folder .*found a file"),
        ("images/answers", "expected an output outside of the images"),
    ):
        with pytest.raises(SeedlingsError, match=match):
            predict(model(), tmp_path / name, folder, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    (tmp_path / "none").mkdir()
    with pytest.raises(SeedlingsError, match="expected images in .*none, found none"):
        predict(model(), tmp_path / "new", tmp_path / "none")
    with pytest.raises(SeedlingsError, match="cannot open nonsense://x: .*nonsense"):
        predict(model(), tmp_path / "new", "nonsense://x/y")


def test_a_name_that_is_not_utf_8_is_read_and_escaped(
    model: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    [source, *_] = (folder / "0").glob("*.PNG")
    source.rename(folder / "0" / os.fsdecode(b"caf\xe9.png"))
    assert predict(model(), tmp_path / "new", folder).errors == 5
    assert f"{folder}/0/caf\\xe9.png" in pd.read_parquet(tmp_path / "new")["path"].tolist()


def test_a_pickled_task_works_without_the_bundle_and_in_another_folder(
    model: Callable[..., Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package = model()
    work = bulk.Answers(package)
    files = [("images/0/a b.png", "1"), ("images/notes.txt", "2")]
    shards = listing.Listing(files, tmp_path / "list", str)
    expected, numerics = work.run(work.read(shards[0])), work.numerics()
    inputs = pickle.dumps(work.read(shards[0]))
    sent = pickle.dumps((work, shards[0]))
    package.rename(tmp_path / "gone")
    (tmp_path / "list").unlink()
    monkeypatch.chdir("/")
    work, shard = pickle.loads(sent)
    assert work.run(work.read(shard)).equals(expected)
    assert work.numerics() == numerics
    assert pickle.dumps(work.read(shard)) == inputs  # so a cluster sees that storage is shared
    assert bulk.Answers(model("other")).numerics() != numerics


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket; the settings are those of AWS' own environment variables."""
    with servers.s3(tmp_path / "s3") as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        bulk.addresses._system.cache_clear()
        s3fs.S3FileSystem.clear_instance_cache()  # or it is the server of another test
        yield "s3://team"
        bulk.addresses._system.cache_clear()


@pytest.mark.slow
def test_images_and_answers_may_be_in_object_storage(
    model: Callable[..., Path], folder: Path, tmp_path: Path, bucket: str
) -> None:
    package = model()
    system = s3fs.S3FileSystem()
    system.put(str(folder), "team/images", recursive=True)
    predict(package, tmp_path / "local", folder)
    local = pd.read_parquet(tmp_path / "local")
    with pytest.raises(KeyboardInterrupt):
        predict(package, f"{bucket}/out/a.parquet", f"{bucket}/images/", engine=Stops(2))
    done = predict(package, f"{bucket}/out/a.parquet", f"{bucket}/images/")
    assert (done.files, done.errors) == (50, 5)
    table = pd.read_parquet(f"{bucket}/out/a.parquet")
    assert table["path"].tolist() == [
        path.replace(str(folder), f"{bucket}/images") for path in local["path"]
    ]
    assert table.drop(columns="path").equals(local.drop(columns="path"))
    assert system.exists("team/out/a.parquet/_SUCCESS")
    with pytest.raises(SeedlingsError, match="another list or version of files"):
        predict(package, f"{bucket}/out/a.parquet", folder)
    predict(package, f"{bucket}/out/a.parquet", folder, overwrite=True)
    assert pd.read_parquet(f"{bucket}/out/a.parquet").equals(local)
    with pytest.raises(SeedlingsError, match="s3://team/nothing, found nothing"):
        predict(package, tmp_path / "x", f"{bucket}/nothing")
    with pytest.raises(SeedlingsError, match="cannot write s3://none/out"):
        predict(package, "s3://none/out", folder)
    predict(package, f"{bucket}/out/b.parquet", f"{bucket}/images/1")
    [first, other, *_] = system.ls("team/images/1")
    system.copy(other, first)
    with pytest.raises(SeedlingsError, match="another list or version of files"):
        predict(package, f"{bucket}/out/b.parquet", f"{bucket}/images/1")
    few, bad = predictions.of_files(Predictor(package), [f"{bucket}/images/0", folder / "1"])
    assert (len(few), len(bad)) == (45, 1)


@pytest.mark.slow
def test_a_storage_that_fails_blames_no_file(
    model: Callable[..., Path], folder: Path, tmp_path: Path, bucket: str
) -> None:
    s3fs.S3FileSystem().put(str(folder), "team/images", recursive=True)
    addresses = [file for file, _ in bulk.addresses.stamped(f"{bucket}/images")]
    s3fs.S3FileSystem().rm("team/images/zz.txt")
    [missing, found] = bulk.addresses.read([addresses[-1], addresses[-2]])
    assert isinstance(missing, FileNotFoundError)
    assert found == b"\0" * 50
    system = bulk.addresses.opened(bucket)[0]
    system.cat_ranges = lambda paths, *a, **k: [PermissionError("ExpiredToken")] * len(paths)
    try:
        with pytest.raises(SeedlingsError, match="ExpiredToken; .*run the command again"):
            bulk.addresses.read(addresses[:3])
        assert isinstance(bulk.addresses.read(addresses[:1])[0], PermissionError)
    finally:
        del system.cat_ranges


@pytest.mark.slow
def test_the_answers_of_a_cluster_have_the_same_bytes(
    model: Callable[..., Path], folder: Path, two_workers: clusters.Cluster, tmp_path: Path
) -> None:
    package = model()
    predict(package, tmp_path / "here.parquet", folder)
    engine = Cluster(two_workers.address)
    done = predict(package, tmp_path / "there.parquet", folder, engine=engine)
    assert (done.files, done.errors) == (50, 5)
    assert contents(tmp_path / "there.parquet") == contents(tmp_path / "here.parquet")


def test_the_settings_of_the_processor_are_those_of_the_bundle_before_a_worker_is_asked(
    model: Callable[..., Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "_tensorflow_has_computed", lambda: False)
    found = []

    class Asked(Here):
        def map(self, work: Any, shards: Any, sink: Any) -> None:
            found.append(processor.current())
            super().map(work, shards, sink)

    for portable in (True, False):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
        bulk.predict(
            model(f"model-{portable}", portable=portable),
            [str(folder / "0")],
            str(tmp_path / f"answers-{portable}"),
            engine=Asked(),
            overwrite=False,
        )
    assert found == [processor.SETTINGS, dict.fromkeys(processor.SETTINGS)]
