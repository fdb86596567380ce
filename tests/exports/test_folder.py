import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from seedlings.errors import SeedlingsError
from seedlings.exports import folder, formats, script
from seedlings.exports.equality import LIMIT, Equality
from seedlings.exports.folder import Origin
from seedlings.packaging import bundle
from seedlings.serving import predictions
from seedlings.serving.predictor import Predictor, load

Files = list[tuple[str, bytes]]
Package = Callable[..., Path]
POOLED = {"features": "block1_pool block2_pool"}
# An environment with the runtime alone.
BLOCKED = ("tensorflow", "keras", "pandas", "mlflow", "dvc", "seedlings")
WITHOUT = f"import runpy, sys; sys.modules.update(dict.fromkeys({BLOCKED})); sys.argv.pop(0)"
RUN = f"{WITHOUT}; runpy.run_path(sys.argv[0], run_name='__main__')"


def write(package: Path, name: str, target: Path, files: Files) -> Equality:
    return folder.write(package, name, target, files=files, origin=Origin("a" * 64, "# A model\n"))


def run(target: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", RUN, str(target / "predict.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=target)


@pytest.mark.parametrize(
    ("name", "task", "options"),
    [
        ("litert", "multiclass", {"copies": 8}),
        ("litert", "binary", {}),
        ("litert", "multilabel", POOLED),
        ("litert", "regression", {}),
        ("onnx", "multiclass", POOLED),
        ("onnx", "regression", {"copies": 8}),
        ("openvino", "multiclass", {"copies": 8}),
        ("openvino", "binary", POOLED),
    ],
)
def test_an_export_answers_without_tensorflow_as_the_packaged_model_does(
    name: str, task: str, options: dict[str, Any], package: Package, files: Files, tmp_path: Path
) -> None:
    made = package(task, **options)
    target = tmp_path / "out" / name
    found = write(made, name, target, files)
    assert found.images == 40
    assert found.output <= LIMIT
    moved = tmp_path / "elsewhere"
    shutil.move(target, moved)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for file, data in files:
        (pictures / file).write_bytes(data)
    done = run(moved, "--json", str(pictures))
    assert done.returncode == 1
    assert f"no prediction for 1 of the files:\n  {pictures / 'notes.txt'}: expected" in done.stderr
    theirs = pd.DataFrame(json.loads(done.stdout))
    ours, _ = predictions.of_files(Predictor(made), [pictures])
    assert theirs["path"].tolist() == ours["path"].tolist()
    column = "prediction" if task == "regression" else "probabilities"
    expected, given = (pd.DataFrame(table[column].tolist()) for table in (ours, theirs))
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)
    same = [name for name in ours if name not in (column, "probability")]
    pd.testing.assert_frame_equal(theirs[same], ours[same])


def test_an_export_says_what_it_is(package: Package, files: Files, tmp_path: Path) -> None:
    made = package("multiclass")
    found = write(made, "saved_model", tmp_path / "out", files)
    assert found == Equality(40, 0.0, 0.0, LIMIT)
    described = folder.read(tmp_path / "out")
    assert described["packaged_model"] == bundle.digest(made)
    assert described["dvc_lock"] == "a" * 64
    assert described["bundle"]["outputs"] == ["ä", "b", "c"]
    assert described["bundle"]["segment"]["fit"] == "pad"
    assert described["equality"] == {"images": 40, "output": 0.0, "distance": 0.0, "limit": LIMIT}
    required = (tmp_path / "out" / "requirements.txt").read_text().splitlines()
    assert [line.partition("==")[0] for line in required] == [
        *("numpy", "opencv-python-headless", "pillow", formats.package_of("saved_model"))
    ]
    served = (tmp_path / "out" / "requirements-server.txt").read_text().splitlines()
    assert served[0] == "-r requirements.txt"
    assert {line.partition("==")[0] for line in served[1:]} >= {"fastapi", "starlette", "uvicorn"}
    readme = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# A model\n")
    assert "compared with the packaged model on 40 images" in readme


def test_another_preprocessing_fails_and_writes_nothing(
    package: Package, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = script.predict()
    assert "cv2.INTER_AREA" in source
    monkeypatch.setattr(script, "predict", lambda: source.replace("INTER_AREA", "INTER_NEAREST"))
    message = r"export: 00\.png: expected the input of the network .* the preprocessing differs"
    with pytest.raises(SeedlingsError, match=message):
        write(package("binary"), "saved_model", tmp_path / "out", files)
    assert not (tmp_path / "out").exists()


def test_another_network_fails_and_keeps_the_former_export(
    package: Package, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, other = package("binary"), package("binary", name="other")
    write(made, "saved_model", tmp_path / "out", files)
    before = (tmp_path / "out" / "model.json").read_bytes()
    own = formats.FORMATS["saved_model"]
    monkeypatch.setitem(formats.FORMATS, "saved_model", lambda _, path: own(load(other), path))
    with pytest.raises(SeedlingsError, match=r"export: \d\d\.png: expected its output to differ"):
        write(made, "saved_model", tmp_path / "out", files)
    assert (tmp_path / "out" / "model.json").read_bytes() == before


def test_a_folder_that_is_no_export_is_not_replaced(
    package: Package, files: Files, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").touch()
    with pytest.raises(SeedlingsError, match="expected a new folder, or an export to replace"):
        write(package("binary"), "saved_model", tmp_path / "mine", files)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["photo.jpg"]


def test_without_images_or_packages_there_is_no_export(
    package: Package, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = package("binary")
    with pytest.raises(SeedlingsError, match="expected images to compare the answers of an"):
        write(made, "saved_model", tmp_path / "out", files[-1:])
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(SeedlingsError, match="expected onnxruntime and tf2onnx for the format onn"):
        write(made, "onnx", tmp_path / "out", files)
    assert not (tmp_path / "out").exists()
