"""What serves an exported folder over HTTP: a script, its packages, and a Dockerfile."""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from seedlings.errors import SeedlingsError
from seedlings.exports import script

_PACKAGES = (
    *("fastapi", "markdown-it-py", "prometheus-client", "python-multipart", "starlette"),
    "uvicorn",
)
_DOCKERFILE = """\
# docker build -t seedlings . && docker run --rm -p 127.0.0.1:8000:8000 seedlings
FROM python:{python}-slim
WORKDIR /model
COPY requirements.txt requirements-server.txt ./
RUN pip install --no-cache-dir -r requirements-server.txt
COPY . .
RUN useradd --system server
USER server
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health')"]
CMD ["python", "server.py", "--host", "0.0.0.0", "--port", "8000"]
"""


def check() -> None:
    """Raise SeedlingsError if a package of the server is not installed."""
    _pinned()


def write(folder: Path) -> None:
    """Write the script, its packages and the Dockerfile into an exported folder."""
    python = "{}.{}".format(*sys.version_info)
    files = {
        "server.py": script.server(),
        "requirements-server.txt": f"-r requirements.txt\n{_pinned()}",
        "Dockerfile": _DOCKERFILE.format(python=python),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _pinned() -> str:
    try:
        return "".join(f"{name}=={version(name)}\n" for name in _PACKAGES)
    except PackageNotFoundError as error:
        raise SeedlingsError(
            f"expected the package {error.name} for the server of an export, found none; "
            "`make .venv/export` installs the extra `export`"
        ) from error
