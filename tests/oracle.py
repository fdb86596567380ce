"""The oracle: whatever changes, the results are those of a rebuild from nothing.

A state machine of Hypothesis changes a small project at random: parameters, images, code, commits,
outputs, kills, reuse. After each change, DVC itself reproduces the stages download to extract, with
its run cache and its cache of outputs; only the command of a stage runs in this process. Then the
files of data/split.csv, data/decided.csv, data/images, data/features and models/backbone are
compared with those of a rebuild in another project that has neither a cache nor a dvc.lock.

    python tests/oracle.py [--sequences N] [--steps N] [--seed N] [--threads N] [--unportable]
        [--fault files] [--shrink]

`threads` and `portable` are fixed in a process, so each value has a process of its own. `--fault`
puts a fault back, which the oracle must find; `--shrink` looks for the shortest sequence.
"""

import argparse
import ast
import builtins
import contextlib
import hashlib
import importlib
import io
import json
import logging
import os
import shutil
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from yaml_texts import parsed_once

from seedlings import processor
from seedlings.config import params

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the stages are no package that is installed
PHOTOS = "photos"
CORRECTIONS = "data/corrections.csv"
COMPARED = (
    "data/split.csv",
    "data/decided.csv",
    "data/images",
    "data/features",
    "models/backbone",
)
CLASSES = ("a", "b")
COSTLY = ("segment", "extract")
LEAST = 5  # images of a class: one for training, validation and test, and room for groups
CODE = ("seedlings", "stages", "requirements.lock", "dvc.yaml", ".dvcignore")

SMALL: dict[str, Any] = {
    "data.source": "folder",
    "data.path": PHOTOS,
    "split.validation_per_class": 1,
    "segment.pixels": [32, 32],
    "extract.width": 0.0625,
    "extract.weights": "random",
    "extract.cut": "block1_pool",
    "extract.batch_size": 4,
    "baseline.epochs": 1,
    "finetune.epochs": 2,
    "evaluate.bootstrap_samples": 100,
    "evaluate.doubtful_labels": 0,
}
CHANGES: dict[str, list[Any]] = {
    "seed": [1, 2],
    "task": ["multiclass", "binary"],
    "data.on_bad_image": ["refuse", "skip"],
    "data.limits.files": [200000, 100],
    "split.rule": ["per_class", "share"],
    "split.validation_per_class": [1, 2],
    "split.test_share": [0.2, 0.3],
    "split.duplicate_distance": [None, 2],
    "segment.method": ["none", "excess_green", "color_distance"],
    "segment.background": ["black", "mean", "dimmed"],
    "segment.pixels": [[32, 32], [32, 40], [40, 32]],
    "segment.fit": ["stretch", "crop", "pad"],
    "segment.empty_below": [0.001, 0.9, 0],
    "extract.cut": ["block1_pool", "block2_pool"],
    "extract.width": [0.0625, 0.125],
    "extract.batch_size": [3, 4],
    "extract.grayscale": [False, True],
    "finetune.epochs": [2, 3],
    "finetune.head.dropout": [0.0, 0, 0.5],
    "evaluate.bootstrap_samples": [100, 120],
    "report.title": ["Seedlings", "Other"],
}
BLOCKS = "(128, 2), (256, 3), (512, 3), (512, 3))"
EDITS = [  # file, constant in it, its value, another value
    ("seedlings/segmentation/masks.py", "ColorDistance.BLUR", "9", "5"),
    ("seedlings/segmentation/preprocessing.py", "_DECIMALS", "6", "2"),
    ("seedlings/networks/vgg16.py", "_BLOCKS", f"((64, 2), {BLOCKS}", f"((32, 2), {BLOCKS}"),
    ("seedlings/images.py", "MAX_PIXELS", "150_000_000", "140_000_000"),
]


def add(photos: dict[str, int], name: str, picture: int) -> None:
    photos[f"{name[0]}/{len(photos):02d}-new.png"] = picture


def remove(photos: dict[str, int], name: str, picture: int) -> None:
    if sum(other[0] == name[0] for other in photos) > LEAST:
        del photos[name]


def edit(photos: dict[str, int], name: str, picture: int) -> None:
    photos[name] = picture


def rename(photos: dict[str, int], name: str, picture: int) -> None:
    photos[f"{name[0]}/0{Path(name).name}"] = photos.pop(name)


def move(photos: dict[str, int], name: str, picture: int) -> None:
    if sum(other[0] == name[0] for other in photos) > LEAST:
        label = CLASSES[1 - CLASSES.index(name[0])]
        photos[f"{label}/{Path(name).name}"] = photos.pop(name)


def duplicate(photos: dict[str, int], name: str, picture: int) -> None:
    photos[f"{name[0]}/copy-{Path(name).name}"] = photos[name]


IMAGES = {f.__name__: f for f in (add, remove, edit, rename, move, duplicate)}


class Killed(BaseException):
    """Stands for the end of the process at a file operation."""


def pictures() -> list[bytes]:
    """Return files of small images: some differ in one pixel, some have the same pixels."""
    import numpy as np

    from seedlings import images

    found = []
    rng = np.random.default_rng(0)
    for number in range(12):
        coarse = rng.integers(40, 200, (4, 5, 3))
        coarse[..., 1] += 30 * (number % 3)  # more or less green
        picture = np.kron(coarse, np.ones((6, 6, 1))).astype(np.uint8)
        found.append(images.encode_png(picture))
        edited = picture.copy()
        edited[0, 0] ^= 128
        found.append(images.encode_png(edited))
        found.append(found[-2] + bytes([number]))  # another file with the same pixels
    return found


class Project:
    """The project that changes, and the one in which everything is rebuilt."""

    def __init__(self, folder: Path, *, portable: bool, threads: int) -> None:
        from dvc.repo import Repo

        for name in ("dvc", "tensorflow"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self.root, self.other = folder / "project", folder / "rebuilt"
        self.fixed = {"portable": portable, "threads": threads}
        self.rebuilt: dict[str, Any] = {}
        for root in (self.root, self.other):
            root.mkdir(parents=True)
            Repo.init(str(root), no_scm=True)
            for name in CODE:
                if (ROOT / name).is_dir():
                    ignored = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(ROOT / name, root / name, ignore=ignored)
                else:
                    shutil.copyfile(ROOT / name, root / name)
        self.loaded = pictures()
        self.reset()

    def reset(self) -> None:
        """Begin a sequence: no results, the first parameters and images, the code as it is."""
        for name in ("data", "models", "reports", PHOTOS, ".dvc/cache", ".dvc/tmp"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        (self.root / "dvc.lock").unlink(missing_ok=True)
        self.edited: set[int] = set()
        for number in range(len(EDITS)):
            self.edit(number, changed=False)
        self.params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        for key, value in {**SMALL, **self.fixed}.items():
            self.set(key, value)
        self.photos: dict[str, int] = {}
        for number in range(2 * (LEAST + 2)):
            self.photos[f"{CLASSES[number % 2]}/{number:02d}.png"] = 3 * (number % 12)
        self.write_photos()
        self.decisions: dict[int, tuple[str, str]] = {}  # by picture: the old and the new label
        self.write_decisions()

    def set(self, key: str, value: Any) -> None:
        """Change a parameter in params.yaml."""
        self.params = params.changed(self.params, {key: value})
        text = yaml.safe_dump(self.params, sort_keys=False)
        (self.root / "params.yaml").write_text(text, encoding="utf-8")

    def write_photos(self) -> None:
        """Make the folder of images as `photos` says."""
        folder = self.root / PHOTOS
        for path in list(folder.rglob("*.png")) if folder.exists() else []:
            name = path.relative_to(folder).as_posix()
            if name not in self.photos or path.read_bytes() != self.loaded[self.photos[name]]:
                path.unlink()
        for name, picture in self.photos.items():
            path = folder / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.loaded[picture])

    def write_decisions(self) -> None:
        """Make data/corrections.csv as `decisions` says."""
        lines = ["digest,path,old,new,by,when,note"]
        for picture, (old, new) in sorted(self.decisions.items()):
            digest = hashlib.blake2b(self.loaded[picture], digest_size=16).hexdigest()
            lines.append(f"{digest},{picture},{old},{new},,,")
        path = self.root / CORRECTIONS
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def edit(self, number: int, *, changed: bool) -> None:
        """Change a constant in its file and in the loaded module, or change both back."""
        file, constant, old, new = EDITS[number]
        *owners, name = constant.split(".")
        before = f"{name} = {old}"
        text = (ROOT / file).read_text(encoding="utf-8")
        if before not in text:
            raise ValueError(f"{file}: expected {before!r}")
        value = new if changed else old
        for root in (self.root, self.other):
            (root / file).write_text(text.replace(before, f"{name} = {value}"), "utf-8")
        owner: Any = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        for part in owners:
            owner = getattr(owner, part)
        setattr(owner, name, ast.literal_eval(value))
        (self.edited.add if changed else self.edited.discard)(number)

    def commit(self) -> dict[str, Any]:
        """Return what Git and `dvc add` would keep."""
        lock = self.root / "dvc.lock"
        return {
            "params": json.loads(json.dumps(self.params)),
            "photos": dict(self.photos),
            "decisions": dict(self.decisions),
            "edited": set(self.edited),
            "lock": lock.read_bytes() if lock.exists() else None,
        }

    def switch(self, commit: dict[str, Any]) -> None:
        """Check out what `commit` returned; the outputs of stages stay, as with `git checkout`."""
        self.params, self.photos = json.loads(json.dumps(commit["params"])), dict(commit["photos"])
        self.set("seed", self.params["seed"])
        self.write_photos()
        self.decisions = dict(commit["decisions"])
        self.write_decisions()
        for number in range(len(EDITS)):
            self.edit(number, changed=number in commit["edited"])
        (self.root / "dvc.lock").unlink(missing_ok=True)
        if commit["lock"] is not None:
            (self.root / "dvc.lock").write_bytes(commit["lock"])

    def reproduce(
        self, target: str = "extract", kill_at: int = 0, edit: Callable[[], None] | None = None
    ) -> str | None:
        """Run `dvc repro`; return the error of a stage, or None. Raises Killed at an operation.

        `edit` is called while the first stage that runs has read its parameters and inputs.
        """
        from dvc.repo import Repo
        from dvc.stage import run as dvc_run

        edits = [edit] if edit else []

        def command(stage: Any, **_: Any) -> None:
            with killed_at(kill_at) if kill_at else contextlib.nullcontext():
                run_stage(stage.name, edits)

        with contextlib.chdir(self.root), quiet():
            kept, dvc_run.cmd_run = dvc_run.cmd_run, command
            try:
                with Repo() as repo:
                    repo.reproduce(target)
            except Exception as error:  # noqa: BLE001 - DVC wraps what the stage raises
                return reason(error)
            finally:
                dvc_run.cmd_run = kept
        return None

    def rebuild(self, last: str = "extract") -> tuple[str | None, dict[str, str]]:
        """Return the error and the hashes of a rebuild from nothing in the other project."""
        stages = ["download", "split", "segment", "extract"]
        if last != "extract":
            stages += ["baseline", "finetune", "package", "evaluate"]
        state = [self.params, sorted(self.photos.items()), sorted(self.edited), last]
        state.append(sorted(self.decisions.items()))
        key = json.dumps(state, sort_keys=True)
        if key in self.rebuilt:
            return self.rebuilt[key]
        for name in ("data", "models", "reports", PHOTOS, ".dvc/cache", ".dvc/tmp"):
            shutil.rmtree(self.other / name, ignore_errors=True)
        (self.other / "data").mkdir()
        for name in ("params.yaml", CORRECTIONS):
            shutil.copyfile(self.root / name, self.other / name)
        shutil.copytree(self.root / PHOTOS, self.other / PHOTOS)
        error = None
        with contextlib.chdir(self.other), quiet(), patch.dict(os.environ, SEEDLINGS_REUSE="off"):
            try:
                for stage in stages:
                    run_stage(stage)
            except Exception as found:  # noqa: BLE001 - the same error is expected of DVC's run
                error = reason(found)
        self.rebuilt[key] = error, hashes(self.other)
        return self.rebuilt[key]


def run_stage(name: str, edits: list[Callable[[], None]] | None = None) -> None:
    """Run a stage in this process, as its launcher does; the last of `edits` happens meanwhile."""
    from seedlings import params
    from seedlings.config import pipeline, stage
    from seedlings.networks.runtime import keras

    keras.backend.clear_session(free_memory=False)

    @contextlib.contextmanager
    def observed(record: Any) -> Iterator[None]:
        while edits:
            edits.pop()()
        yield

    stage.run(name, observed, values=params.load(), pipeline=pipeline.read())


def reason(error: BaseException) -> str:
    """Return the first line of the innermost error, without the name of the folder."""
    while error.__cause__:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def hashes(root: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that is compared, by its path."""
    found = {}
    for name in COMPARED:
        path = root / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                found[file.relative_to(root).as_posix()] = digest
    return found


@contextlib.contextmanager
def killed_at(number: int) -> Iterator[None]:
    """Raise Killed at an operation on files: opening for writing, renaming, removing, a folder."""
    count = 0

    def watched(real: Callable[..., Any], *, writes: Callable[..., bool]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            if writes(*arguments, **options):
                count += 1
                if count == number:
                    raise Killed
            return real(*arguments, **options)

        return operation

    def opens(file: Any, mode: str = "r", *_: Any, **__: Any) -> bool:
        return not isinstance(file, int) and any(letter in mode for letter in "wxa+")

    with contextlib.ExitStack() as stack:
        for owner, name, writes in (
            (builtins, "open", opens),
            (io, "open", opens),
            *((os, name, lambda *_, **__: True) for name in ("replace", "rename", "mkdir")),
            *((os, name, lambda *_, **__: True) for name in ("unlink", "rmdir", "remove")),
        ):
            real = getattr(owner, name)
            setattr(owner, name, watched(real, writes=writes))
            stack.callback(setattr, owner, name, real)
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def machine(project: Project, counts: dict[str, int]) -> type:
    """Return the state machine over a project; it counts what it tries."""
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

    kills = st.one_of(st.just(0), st.integers(1, 60))
    places = st.integers(0, 1000)

    def of(*sections: str) -> Any:
        """A parameter of these sections, or of the others, and a value."""
        named = [key for key in CHANGES if key.split(".")[0] in sections]
        keys = named or [key for key in CHANGES if key.split(".")[0] not in COSTLY]
        return st.sampled_from([(key, value) for key in keys for value in CHANGES[key]])

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            project.reset()
            self.commits: list[dict[str, Any]] = []
            counts["sequences"] += 1
            self.compare()

        def compare(self, kill: int = 0, reuse: str = "on") -> None:
            """Reproduce, killed at first if asked; compare with a rebuild from nothing."""
            counts["steps"] += 1
            if kill:
                try:
                    project.reproduce(kill_at=kill)
                except Killed:
                    counts["kills"] += 1
                    return  # the next change comes on top
            with patch.dict(os.environ, SEEDLINGS_REUSE=reuse):
                error = project.reproduce()
            expected, wanted = project.rebuild()
            assert error == expected
            if expected:
                assert expected.startswith("SeedlingsError"), expected
                counts["refused"] += 1
                return
            found = hashes(project.root)
            different = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
            assert not different, f"{different} differ from a rebuild"

        @rule(change=of("segment"), kill=kills)
        def change_the_segmentation(self, change: tuple[str, Any], kill: int) -> None:
            project.set(*change)
            self.compare(kill)

        @rule(change=of("extract"), kill=kills)
        def change_the_extraction(self, change: tuple[str, Any], kill: int) -> None:
            project.set(*change)
            self.compare(kill)

        @rule(change=of(), kill=kills)
        def change_another_parameter(self, change: tuple[str, Any], kill: int) -> None:
            project.set(*change)
            self.compare(kill)

        @rule(change=of("segment"), later=of("segment", "extract"))
        def change_two_parameters_one_of_them_while_a_stage_runs(
            self, change: tuple[str, Any], later: tuple[str, Any]
        ) -> None:
            project.set(*change)
            project.reproduce(edit=lambda: project.set(*later))
            project.set(*later)
            self.compare()

        @rule(place=places, picture=places, what=st.sampled_from(sorted(IMAGES)), kill=kills)
        def change_an_image(self, place: int, picture: int, what: str, kill: int) -> None:
            name = sorted(project.photos)[place % len(project.photos)]
            IMAGES[what](project.photos, name, picture % len(project.loaded))
            project.write_photos()
            self.compare(kill)

        @rule(place=places, new=st.sampled_from([*CLASSES, "drop"]), kill=kills)
        def decide_a_label(self, place: int, new: str, kill: int) -> None:
            name = sorted(project.photos)[place % len(project.photos)]
            project.decisions[project.photos[name]] = (name[0], new)
            project.write_decisions()
            self.compare(kill)

        @rule(number=st.integers(0, len(EDITS) - 1), kill=kills)
        def change_code(self, number: int, kill: int) -> None:
            project.edit(number, changed=number not in project.edited)
            self.compare(kill)

        @rule()
        def commit(self) -> None:
            self.commits.append(project.commit())

        @precondition(lambda self: self.commits)
        @rule(place=places, kill=kills)
        def switch_to_a_commit(self, place: int, kill: int) -> None:
            project.switch(self.commits[place % len(self.commits)])
            self.compare(kill)

        @rule(name=st.sampled_from([*COMPARED, "dvc.lock", ".dvc/cache/runs"]))
        def remove_an_output(self, name: str) -> None:
            path = project.root / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            self.compare()

        @rule(change=of("segment", "extract"))
        def change_a_parameter_without_reuse(self, change: tuple[str, Any]) -> None:
            project.set(*change)
            self.compare(reuse="off")

    return Machine


def metrics(project: Project) -> bool:
    """Return whether the metrics are those of a rebuild, at the end of the last sequence."""
    error = project.reproduce("evaluate")
    expected, _ = project.rebuild("evaluate")
    assert (error is None) == (expected is None), (error, expected)
    name = "reports/evaluate/metrics.json"
    return bool(error) or (project.root / name).read_bytes() == (project.other / name).read_bytes()


def key_by_files() -> None:
    """Put the fault `files` back: features keyed by the image files, and not by the cut-outs."""
    from seedlings.io import store
    from seedlings.networks import features

    class Array(store.Array):
        contents = property(lambda self: self.keys)  # type: ignore[assignment]

    features.store = types.SimpleNamespace(**{**vars(store), "Array": Array})  # type: ignore


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sequences", type=int, default=10)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--unportable", action="store_true")
    parser.add_argument("--fault", choices=["files"])
    parser.add_argument("--shrink", action="store_true")
    options = parser.parse_args()
    processor.use(portable=not options.unportable)
    if options.fault:
        key_by_files()
    from hypothesis import HealthCheck, Phase, seed, settings
    from hypothesis.stateful import run_state_machine_as_test

    os.environ["SEEDLINGS_REUSE"] = "on"
    counts = dict.fromkeys(("sequences", "steps", "kills", "refused"), 0)
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder), portable=not options.unportable, threads=options.threads)
        rules = settings(
            max_examples=options.sequences,
            stateful_step_count=options.steps,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if options.shrink else [Phase.generate],
            print_blob=False,
        )
        tried = seed(options.seed)(machine(project, counts))
        with parsed_once():
            run_state_machine_as_test(tried, settings=rules)
            assert metrics(project), "the metrics differ from a rebuild"
    print(", ".join(f"{count} {name}" for name, count in counts.items()), "- all as rebuilt")


if __name__ == "__main__":
    main()
