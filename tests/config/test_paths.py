from pathlib import Path

import pytest

from seedlings.config import paths


def test_the_root_is_found_from_a_temporary_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / ".dvc" / "tmp" / "exps" / "standalone" / "tmp123" / "seedlings"
    inside.mkdir(parents=True)
    for here in (tmp_path, inside):
        monkeypatch.chdir(here)
        assert paths.home() == tmp_path
