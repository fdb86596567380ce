"""The HTTP server of an exported folder, which answers with the model beside it."""

import argparse
import json
from pathlib import Path

from seedlings.exports.standalone import load
from seedlings.serving.http_requests import Limits
from seedlings.serving.http_server import app, serve


def main() -> None:
    """Serve the exported model in a folder until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description="Serve the model in this folder over HTTP.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help=f"a limit of requests; the defaults are {Limits()}",
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(__file__).parent, help="that of the exported model"
    )
    given = parser.parse_args()
    try:
        limits = Limits().changed(given.limit)
    except ValueError as error:
        parser.error(f"--limit: {error}")
    engine = json.loads((given.folder / "model.json").read_text(encoding="utf-8"))["format"]
    card = (given.folder / "README.md").read_text(encoding="utf-8")
    found = app(load(given.folder), engine, card, limits)
    serve(found, host=given.host, port=given.port, limits=limits)


if __name__ == "__main__":
    main()
