import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

_SHOW = """
from seedlings.networks.runtime import keras
print(keras.config.floatx(), keras.config.image_data_format(), keras.config.epsilon())
"""
_IMPORT = """
import sys, threading
end = threading.Event()
if sys.argv[1:]:
    threading.Thread(target=end.wait).start()
import seedlings.networks.runtime
print(*sorted({"matplotlib", "sklearn"} & {*sys.modules}), "before")
from matplotlib import pyplot
from sklearn.metrics import f1_score
print(f1_score([0, 1], [0, 1]))
end.set()
"""


@pytest.mark.slow
def test_the_user_s_settings_of_keras_change_nothing(tmp_path: Path) -> None:
    settings = {"floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.1}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-c", _SHOW],
        env={**os.environ, "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["float32", "channels_last", "1e-07"]


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "early"), [([], []), (["more"], ["matplotlib", "sklearn"])])
def test_packages_that_keras_does_without_are_imported_where_they_are_used(
    threads: list[str], early: list[str]
) -> None:
    command = [sys.executable, "-c", _IMPORT, *threads]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*early, "before", "1.0"]
