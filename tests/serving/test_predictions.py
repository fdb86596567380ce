import json
import os
from pathlib import Path

import nobody
import numpy as np
import pandas as pd
import pytest

from seedlings import images
from seedlings.errors import SeedlingsError
from seedlings.serving import addresses, predictions


class Brightness:
    """Stands for a model: its answer is the picture's first value, and it counts its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.decode = images.decode

    def answer(self, pictures: list[np.ndarray]) -> pd.DataFrame:
        self.batches.append(len(pictures))
        values = [float(picture[0, 0, 0]) for picture in pictures]
        probabilities = [{"a": value / 255, "b": 1 - value / 255} for value in values]
        return pd.DataFrame(
            {"prediction": values, "probabilities": probabilities, "out_of_distribution": ""}
        )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """70 images in two folders, and what else people's folders hold."""
    for number in range(70):
        path = tmp_path / "pictures" / f"{number % 2}" / f"{number:03d}.PNG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.encode_png(np.full((2, 3, 3), number, np.uint8)))
    return tmp_path / "pictures"


def test_every_image_of_a_folder_has_its_answer_in_batches(folder: Path) -> None:
    model = Brightness()
    table, bad = predictions.of_files(model, [folder])  # type: ignore[arg-type]
    assert bad == []
    assert model.batches == [32, 32, 6]
    assert table["path"].tolist() == sorted(str(path) for path in folder.rglob("*.PNG"))
    assert table["prediction"].tolist() == [int(Path(path).stem) for path in table["path"]]


def test_files_that_are_no_images_are_named_and_leftovers_are_skipped(folder: Path) -> None:
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("notes")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / ".5mm.png").write_bytes((folder / "0" / "000.PNG").read_bytes())
    (folder / "circle").symlink_to(folder)
    (folder / "line\nbreak.png").write_bytes((folder / "0" / "000.PNG").read_bytes())
    (folder / "loop.png").symlink_to("loop.png")
    table, bad = predictions.of_files(Brightness(), [folder])  # type: ignore[arg-type]
    assert len(table) == 72
    assert len(bad) == 5
    for name, reason in (
        ("circle", "a linked folder"),
        ("empty.jpg", "found an empty file"),
        ("gone.png", "No such file"),
        ("loop.png", "symbolic links"),
        ("notes.txt", "found 5 bytes of something else"),
    ):
        [line] = [line for line in bad if name in line]
        assert reason in line


def test_a_name_that_is_not_utf_8_is_escaped(folder: Path) -> None:
    named = folder / os.fsdecode(b"caf\xe9.png")
    named.write_bytes((folder / "0" / "000.PNG").read_bytes())
    (folder / os.fsdecode(b"th\xe9.png")).touch()
    table, [line] = predictions.of_files(Brightness(), [folder])  # type: ignore[arg-type]
    assert f"{folder}/caf\\xe9.png" in table["path"].tolist()
    assert line.startswith(f"{folder}/th\\xe9.png: ")
    for form in ("csv", "json", None):
        predictions.text(table, form).encode()


@pytest.mark.slow
def test_files_and_folders_without_permission_are_named() -> None:
    with nobody.folder() as folder:
        closed, listed = folder / "closed", folder / "listed"
        for path in (closed, listed):
            path.mkdir()
        for path in (listed / "inside.png", folder / "secret.png"):
            path.touch()
        for path, mode in ((closed, 0), (listed, 0o444), (folder / "secret.png", 0)):
            path.chmod(mode)
        code = "predictions.of_files(None, [Path(given['folder'])])[1]"
        told = nobody.answer(
            "from seedlings.serving import addresses, predictions", code, folder=str(folder)
        )
        for path in (closed, listed):
            path.chmod(0o700)  # so that it can be removed
    assert told == [
        f"{closed}: a folder that may not be read",
        f"{listed}: a folder that may not be read",
        f"{folder / 'secret.png'}: Permission denied",
    ]


def test_files_and_folders_mix_and_a_missing_one_is_an_error(folder: Path) -> None:
    one = folder / "1" / "003.PNG"
    table, _ = predictions.of_files(Brightness(), [one, folder / "0"])  # type: ignore[arg-type]
    assert len(table) == 36
    assert table["path"][0] == str(one)
    with pytest.raises(SeedlingsError, match="nowhere, found nothing"):
        predictions.of_files(Brightness(), [folder / "nowhere"])  # type: ignore[arg-type]
    (folder / "none").mkdir()
    with pytest.raises(SeedlingsError, match="expected images in .*none, found none"):
        predictions.of_files(Brightness(), [folder / "none"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["1/003.PNG", "./1/003.PNG", "1/../1/003.PNG"], ["1/003.PNG"]),
        (["1/003.PNG", "1", "."], ["1/003.PNG", "1/001.PNG", "0/000.PNG", "0/002.PNG"]),
        ([".", "1", "1/003.PNG"], ["0/000.PNG", "0/002.PNG", "1/001.PNG", "1/003.PNG"]),
        (
            ["1", ".git/x.PNG", "."],
            ["1/001.PNG", "1/003.PNG", ".git/x.PNG", "0/000.PNG", "0/002.PNG"],
        ),
        ([".", ".git/x.PNG"], ["0/000.PNG", "0/002.PNG", "1/001.PNG", "1/003.PNG", ".git/x.PNG"]),
    ],
)
def test_a_file_that_is_named_twice_has_one_row_at_its_first_place(
    named: list[str], expected: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in folder.rglob("*.PNG"):
        if int(path.stem) > 3:
            path.unlink()
    (folder / ".git").mkdir()
    (folder / ".git" / "x.PNG").write_bytes((folder / "0" / "000.PNG").read_bytes())
    monkeypatch.chdir(folder)
    table, bad = predictions.of_files(Brightness(), named)  # type: ignore[arg-type]
    assert bad == []
    assert table["path"].tolist() == expected
    listed = addresses.distinct(map(addresses.normalized, named))
    assert [file for file, _ in listed] == expected


def test_the_files_of_a_linked_folder_that_is_named_are_read(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "1")
    table, [told] = predictions.of_files(
        Brightness(),  # type: ignore[arg-type]
        [folder, folder / "link"],
    )
    assert told == f"{folder / 'link'}: a linked folder"
    assert len(table) == 70 + 35


def test_an_address_of_a_file_is_decoded_and_a_path_is_not(folder: Path) -> None:
    spaced, percent = folder / "a b.png", folder / "a%20b.png"
    for path in (spaced, percent):
        path.write_bytes((folder / "0" / "000.PNG").read_bytes())
    for address, path in ((f"file://{percent}", spaced), (str(percent), percent)):
        table, _ = predictions.of_files(Brightness(), [address])  # type: ignore[arg-type]
        assert table["path"].tolist() == [str(path)]


def test_a_table_has_a_form_for_people_and_forms_for_programs(folder: Path) -> None:
    table, _ = predictions.of_files(Brightness(), [folder / "1"])  # type: ignore[arg-type]
    [first, *_] = json.loads(predictions.text(table, "json"))
    assert first["prediction"] == 1
    assert first["probabilities"]["a"] == pytest.approx(1 / 255)
    lines = predictions.text(table, "csv").splitlines()
    assert lines[0] == "path,prediction,out_of_distribution,a,b"
    assert lines[1].endswith("001.PNG,1.0,,0.003921569,0.9960784")
    assert len(lines) == 36
    assert "probabilities" not in predictions.text(table, None)


def test_json_and_csv_have_the_same_digits_and_readable_paths() -> None:
    rows = {"path": ["Ähre/1.png"], "prediction": [123456.789], "probability": [np.float32(1 / 3)]}
    table = pd.DataFrame({**rows, "probabilities": [{"é": 1e-9 / 3}]})
    printed = predictions.text(table, "json")
    assert '"path": "Ähre/1.png"' in printed
    values = json.loads(printed)[0]
    values |= values.pop("probabilities")
    [names, line] = predictions.text(table, "csv").splitlines()
    assert dict(zip(names.split(","), line.split(","), strict=True)) == {
        name: str(value) for name, value in values.items()
    }
    assert line == "Ähre/1.png,123456.8,0.3333333,3.333333e-10"


def test_without_a_row_nothing_is_printed_for_people() -> None:
    table = pd.DataFrame({"path": []})
    assert [predictions.text(table, form) for form in (None, "csv", "json")] == [
        "",
        "path\n",
        "[]\n",
    ]


def test_a_class_may_have_the_name_of_a_column() -> None:
    probabilities = [{"path": 0.25, "b": 0.75}]
    table = pd.DataFrame({"path": ["1.png"], "prediction": ["b"], "probabilities": probabilities})
    lines = predictions.text(table, "csv").splitlines()
    assert lines == ["path,prediction,path (probability),b", "1.png,b,0.25,0.75"]
