"""The models that commands take."""

import shutil
from pathlib import Path

import pytest

from seedlings.cli import packages
from seedlings.tracking import client


@pytest.mark.parametrize(
    ("model", "expected"),
    [("models/packaged", True), ("models:/seedlings@champion", False), ("0123abcd", False)],
)
def test_a_model_is_a_folder_or_in_mlflow(model: str, expected: bool) -> None:
    assert packages.is_folder(model) == expected


def test_a_model_in_mlflow_is_a_copy_for_as_long_as_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is one in this process: tests/tracking/test_client.py has a real one."""
    (tmp_path / "stored").mkdir()
    (tmp_path / "stored" / "bundle.json").write_text("{}")

    def download(_tracker: object, address: str, target: Path) -> Path:
        assert address == "models:/seedlings@champion"
        return Path(shutil.copytree(tmp_path / "stored", target / "package"))

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setattr(client.Tracker, "download_package", download)
    with packages.package_of("models:/seedlings@champion") as package:
        assert (package / "bundle.json").read_text() == "{}"
    assert not package.exists()
