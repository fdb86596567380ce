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
