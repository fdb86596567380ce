from collections.abc import Callable

import pytest
from project import Project

from seedlings.cli import exports
from seedlings.config import paths
from seedlings.exports.folder import Origin
from seedlings.tracking import revisions

pytestmark = pytest.mark.slow


def test_an_export_has_the_model_card_of_its_dvc_lock(
    with_fake_stages: Callable[[], Project],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = with_fake_stages()
    monkeypatch.chdir(project.root)
    card = paths.MODEL_CARD.read_text(encoding="utf-8")
    assert exports._origin("models/packaged") == Origin(revisions.current().digest, card)
    project.set(finetune__epochs=7)
    assert exports._origin("models/packaged") == Origin()
    assert "the export names no dvc.lock and has no model card: " in capsys.readouterr().err
