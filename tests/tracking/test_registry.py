"""The registry; what it writes in MLflow is tested in tests/pipeline/test_browser.py."""

import pandas as pd
import pytest

from seedlings.errors import SeedlingsError
from seedlings.tracking import comparisons, registry
from seedlings.tracking.revisions import Revision


@pytest.mark.parametrize("force", [False, True])
def test_a_revision_that_is_evaluated_on_validation_images_is_refused(
    force: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = Revision("", "trial", {}, {"evaluate": {"on": "validation"}})
    side = comparisons.Side("trial", revision, {}, pd.DataFrame(), pd.DataFrame())
    monkeypatch.setattr(comparisons, "side", lambda name: side)
    monkeypatch.setattr(registry, "client", None)  # MLflow is not asked
    message = (
        "^trial: expected a revision with `evaluate.on: test`, found `evaluate.on: validation`, "
        "as the champion is chosen on test images; restore it, .* and promote the result$"
    )
    with pytest.raises(SeedlingsError, match=message):
        registry.promote("trial", 0.95, force=force)


def test_a_revision_from_before_the_parameter_is_evaluated_on_test_images() -> None:
    for tree in ({}, {"evaluate": {"on": "test"}}):
        revision = Revision("", "trial", {}, tree)
        side = comparisons.Side("trial", revision, {}, pd.DataFrame(), pd.DataFrame())
        registry._check_split(side)
