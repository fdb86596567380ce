"""What `seedlings demo` gives to Streamlit: the page for the package that the command names."""

import sys
from pathlib import Path

from seedlings.serving import demo

demo.show(Path(sys.argv[1]))
