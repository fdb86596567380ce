"""The script that `seedlings demo` runs in Streamlit; its argument is the folder of the bundle."""

import sys
from pathlib import Path

from seedlings.serving import demo

demo.show(Path(sys.argv[1]))
