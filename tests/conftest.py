"""What several tests need: small image folders, the real images, and a copy of the project."""

from seedlings import processor

processor.pin()  # before the libraries that read it are imported

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import clusters
import numpy as np
import pytest
import yaml
from filelock import FileLock
from imports import ROOT
from mlflow import MlflowClient
from numpy.typing import NDArray
from project import OF_THE_DEVELOPER, Project

from seedlings import images
from seedlings.params import Params, check

# A shell ignores SIGINT in what it runs in the background, and so would each process of a test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PLANTS = ROOT.parent / "shared" / "plants" / "plants-1440.zip"


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    """The threads of TensorFlow, which are fixed with its first operation: those of the stages."""
    from seedlings.networks.runtime import tf

    threads = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["threads"]
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)


@pytest.fixture(autouse=True)
def _settings_of_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in processor.SETTINGS.items():
        monkeypatch.setenv(name, value)  # also afterwards, whatever the test does


@pytest.fixture(autouse=True)
def _no_server_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_THE_DEVELOPER:
        monkeypatch.setenv(name, "")  # or what MLflow sets there would outlive the test
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_cache_of_the_developer(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def tree() -> dict[str, Any]:
    """params.yaml as plain values that a test may change, with random weights of any backbone.

    Features are maps, and the head is that of conf/base.yaml.
    """
    values, base = (
        yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
        for path in ("params.yaml", "conf/base.yaml")
    )
    values["extract"] |= {"pooling": "none", "width": 1.0, "weights": "random"}
    values["finetune"] |= {key: base["finetune"][key] for key in ("head", "regularization")}
    return values


@pytest.fixture
def params(tree: dict[str, Any]) -> Params:
    return check(tree)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def noise(rng: np.random.Generator) -> Callable[..., NDArray[np.uint8]]:
    """Images of random pixels: noise(height, width)."""
    return lambda height=40, width=40: rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def image_folder(tmp_path: Path, noise: Callable[..., NDArray[np.uint8]]) -> Callable[..., Path]:
    """A folder with `counts[label]` images of random pixels for each label."""

    def make(counts: dict[str, int], name: str = "images") -> Path:
        root = tmp_path / name
        for label, count in counts.items():
            (root / label).mkdir(parents=True)
            for number in range(count):
                path = root / label / f"{number:03d}.png"
                path.write_bytes(images.encode_png(noise()))
        return root

    return make


@pytest.fixture(scope="session")
def plants() -> Path:
    """The archive of 1,440 real images."""
    if not PLANTS.is_file():
        pytest.skip(f"the real images are not here: {PLANTS} is absent")
    return PLANTS


@pytest.fixture(scope="session")
def real_images(plants: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the 12 species of real images."""
    folder = tmp_path_factory.mktemp("plants")
    with zipfile.ZipFile(plants) as archive:
        archive.extractall(folder)
    return folder / "train"


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all workers of a run share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def empty_database(shared: Path) -> Path:
    """An empty mlflow.db, made once: making one runs all of MLflow's migrations."""
    path = shared / "empty.db"
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def new_project(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path
) -> Callable[..., Project]:
    """Make a copy of the working tree: its files and DVC's settings, without results."""

    def make(root: Path | None = None) -> Project:
        root = root or tmp_path_factory.mktemp("project")
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, root / name)
        (root / "dvc.lock").unlink(missing_ok=True)  # its outputs are not here
        shutil.copyfile(empty_database, root / "mlflow.db")
        project = Project(root)
        project.run("git", "init", "--quiet", "--initial-branch", "main")
        project.commit("A copy")
        return project

    return make


@pytest.fixture(scope="session")
def once(
    new_project: Callable[..., Project], tmp_path_factory: pytest.TempPathFactory, shared: Path
) -> Callable[[str, Callable[[Project], str]], Callable[[], Project]]:
    """Make a project once for all workers: once(name, prepare) gives a maker of its copies."""

    def prepared(name: str, prepare: Callable[[Project], str]) -> Callable[[], Project]:
        folder = shared / name
        printed = folder.with_suffix(".txt")
        with FileLock(folder.with_suffix(".lock")):
            if not printed.exists():
                printed.write_text(prepare(new_project(folder)), encoding="utf-8")

        def copy() -> Project:
            root = tmp_path_factory.mktemp("project")
            shutil.copytree(folder, root, symlinks=True, dirs_exist_ok=True)
            project = Project(root)
            project.first_output = printed.read_text(encoding="utf-8")
            return project

        return copy

    return prepared


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[clusters.Cluster]:
    """A cluster of two workers, for all tests of a process."""
    known = {"DVC_EXP_NAME": "outer", "OTHER": "kept", "SEEDLINGS_TRACKING": "off"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    folder = tmp_path_factory.mktemp("cluster")
    with clusters.running(folder, 2, PATH=path, **known) as started:
        yield started


@pytest.fixture
def two_workers(
    shared_cluster: clusters.Cluster, monkeypatch: pytest.MonkeyPatch
) -> clusters.Cluster:
    """The cluster of two workers, which is that of this process."""
    shared_cluster.use()
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", shared_cluster.address)
    return shared_cluster


@pytest.fixture(scope="session")
def reproduced(once: Callable[..., Callable[[], Project]]) -> Callable[[], Project]:
    """Make a copy of a small project with committed results."""

    def prepare(project: Project) -> str:
        project.shrink(segment__pixels=[64, 64])
        project.tracking = True
        output = project.repro()
        project.commit("The first results")
        return output

    return once("reproduced", prepare)


@pytest.fixture(scope="session")
def with_fake_stages(once: Callable[..., Callable[[], Project]]) -> Callable[[], Project]:
    """Make a copy of a project whose stages write small files, with committed results."""

    def prepare(project: Project) -> str:
        project.fake_stages(baseline__epochs=2, finetune__epochs=3)
        project.tracking = True
        output = project.repro()
        project.commit("The first results")
        return output

    return once("fake", prepare)
