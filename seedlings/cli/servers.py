"""The commands `serve` and `demo`: predictions over HTTP, and in a web page."""

import os
import shutil
from pathlib import Path

import click

from seedlings import processor
from seedlings.cli import packages, pages
from seedlings.config import paths

_SERVERS = Path(".dvc/tmp/servers")


@click.command()
@click.option("--model", default=None, help=packages.MODEL + packages.LAST)
@click.option("--port", type=pages.PORT, default=5001, show_default=True, help="The port.")
@click.option("--http", "is_http", is_flag=True, help="Take files and bytes, without MLflow.")
@click.option("--host", help="With --http, the address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=NUMBER",
    help="With --http, a limit of requests, such as images=100; docs/serving.md lists them.",
)
def serve(
    model: str | None, port: int, is_http: bool, host: str | None, limits: tuple[str, ...]
) -> None:
    """Serve a model over HTTP, for people with --http, or with MLflow.

    The server listens on 127.0.0.1 only, unless --host names another address; docs/serving.md shows
    requests and their responses.
    """
    if (host or limits) and not is_http:
        raise click.UsageError("--host and --limit are for --http, which is missing")
    from seedlings.cli import http
    from seedlings.serving import model_folder

    address = host or "127.0.0.1"
    if is_http:
        http.check(address, port, limits)
    else:
        pages.check_port(port)
    with model_folder.create(paths.home() / _SERVERS) as folder:
        chosen = model or packages.champion_or_last()
        if is_http:
            http.serve(chosen, folder / "model", host=address, port=port, limits=limits)
        else:
            _serve_with_mlflow(chosen, folder / "model", port)


def _serve_with_mlflow(model: str, target: Path, port: int) -> None:
    from seedlings.packaging import bundle
    from seedlings.tracking import client

    with packages.package_of(model) as package:
        portable = bundle.read(package).portable
        client.save_model(package, target)
    click.echo(f"model: {packages.described(model)}")
    click.echo(f"server: http://127.0.0.1:{port}/invocations (stop with Ctrl-C)")
    command = ["mlflow", "models", "serve", "--model-uri", str(target), "--env-manager", "local"]
    environment = processor.environment(portable=portable)
    os.execvpe(command[0], [*command, "--port", str(port)], environment)  # noqa: S606 - no shell


@click.command()
@click.option("--model", default=None, help=packages.MODEL + packages.LAST)
@click.option(
    "--port", type=pages.PORT, default=8501, show_default=True, help="The port on 127.0.0.1."
)
def demo(model: str | None, port: int) -> None:
    """Show the predictions for your images in a web page.

    The server listens on 127.0.0.1 only.
    """
    from seedlings.packaging import bundle
    from seedlings.serving import model_folder

    pages.check(port)
    script = Path(__file__).parents[1] / "serving" / "demo_page.py"
    with model_folder.create(paths.home() / _SERVERS) as folder:
        target = folder / "model"
        chosen = model or packages.champion_or_last()
        with packages.package_of(chosen) as package:
            portable = bundle.read(package).portable
            shutil.copytree(package, target)
        click.echo(f"model: {packages.described(chosen)}")
        pages.serve(script, port, str(target), portable=portable)


COMMANDS = (serve, demo)
