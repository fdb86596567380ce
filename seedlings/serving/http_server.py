"""The HTTP server for people: an app of FastAPI that answers image files with any runtime."""

import asyncio
import html
import io
import logging
import os
import re
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext, suppress
from itertools import pairwise
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from markdown_it import MarkdownIt
from PIL import Image as PillowImage
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.requests import ClientDisconnect

from seedlings.images import FORMATS, BadImageError, Image
from seedlings.serving.http_requests import Limits, Load, Sent, read
from seedlings.serving.inference import Inference
from seedlings.serving.texts import rounded

_LARGE = 16_000_000  # pixels, from which images are decoded one at a time
_GONE = 499  # the status of a request whose client has gone, as in nginx
_HEAD = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)  # YAML at the beginning of a card
_PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 1em/1.5 sans-serif; margin: 2em auto; max-width: 50em; padding: 0 1em }}
table {{ border-collapse: collapse }} td, th {{ border: 1px solid #ccc; padding: .2em .6em }}
pre {{ background: #f4f4f4; overflow-x: auto; padding: .6em }}
</style>
<pre>curl -F file=@leaf.jpg {address}predict</pre>
<p><a href="openapi.json">openapi.json</a> describes the requests,
<a href="metrics">metrics</a> counts them.</p>
{card}
</html>
"""
# A card may have HTML and pictures of elsewhere: nothing of it is run or loaded.
_POLICY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_REQUEST = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "properties": {
                        "images": {
                            "type": "array",
                            "items": {"type": "string", "description": "base64, or a data URI"},
                        }
                    },
                }
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def serve(app: FastAPI, *, host: str, port: int, limits: Limits) -> None:
    """Serve an app until SIGINT or SIGTERM; then requests that run are answered."""
    with suppress(KeyboardInterrupt):
        server(app, host=host, port=port, limits=limits).run()


def server(app: FastAPI, *, host: str, port: int, limits: Limits) -> uvicorn.Server:
    """Return the server of an app."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http="h11",  # in every environment
            ws="none",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=limits.seconds + 5,
        )
    )


def app(inference: Inference, engine: str, card: str, limits: Limits) -> FastAPI:
    """Return the app that answers with an inference.

    `engine` is the name of its runtime, and `card` the model card in Markdown.
    """
    service = _Service(inference, engine, limits)
    title, shown = _rendered(card)

    async def page(request: Request) -> HTMLResponse:
        """Show the model card."""
        address = html.escape(str(request.base_url))
        return HTMLResponse(_PAGE.format(title=title, card=shown, address=address), headers=_POLICY)

    found = FastAPI(
        title="Seedlings",
        description="Predicts images.",
        docs_url=None,  # they load scripts of another server
        redoc_url=None,
        lifespan=service.lifespan,
    )
    found.add_api_route("/", page, response_class=HTMLResponse)
    found.add_api_route("/predict", service.predict, methods=["POST"], openapi_extra=_REQUEST)
    found.add_api_route("/health", service.health)
    found.add_api_route("/metrics", service.metrics)
    return found


class _Service:
    """What answers: threads that decode, and one that runs the network."""

    def __init__(self, inference: Inference, engine: str, limits: Limits) -> None:
        self._inference = inference
        self._engine = engine
        self._limits = limits
        self._load = Load(limits)
        self._decoders = ThreadPoolExecutor(os.cpu_count(), "decode")
        self._network = ThreadPoolExecutor(1, "network")
        self._large = threading.Lock()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "seedlings_requests", "Requests to /predict.", ["status"], registry=self._registry
        )
        self._images = Counter(
            "seedlings_images", "Images that were answered.", registry=self._registry
        )
        self._seconds = Histogram(
            "seedlings_request_seconds",
            "Seconds of requests that were answered.",
            registry=self._registry,
        )
        Gauge(
            "seedlings_requests_in_progress",
            "Requests that arrive, wait or run.",
            registry=self._registry,
        ).set_function(lambda: self._load.requests)

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Run the network once before the server listens; end the threads when it ends."""
        height, width = self._inference.contents.segment["pixels"]
        first = np.zeros((1, height, width, 3), np.uint8)
        await self._in(self._network, self._inference.run, first)
        yield
        for pool in (self._decoders, self._network):
            pool.shutdown(cancel_futures=True)

    async def health(self) -> dict[str, str]:
        """Say that the model is loaded."""
        task = self._inference.contents.task
        return {"status": "ok", "task": task, "engine": self._engine}

    async def metrics(self) -> Response:
        """Return counts and times for Prometheus."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def predict(self, request: Request) -> Response:
        """Predict image files.

        The answer has a row for each image, in order. If an image cannot be decoded, the status is
        400 with the reasons; 413 is for too large a request, 503 for too many.
        """
        start = time.perf_counter()
        response: Response
        try:
            rows = await self._answered(request)
            response = JSONResponse({"predictions": rows})
            self._images.inc(len(rows))
            self._seconds.observe(time.perf_counter() - start)
        except HTTPException as error:
            response = JSONResponse({"detail": error.detail}, error.status_code, error.headers)
        except ClientDisconnect:
            response = Response(status_code=_GONE)
        except Exception:  # no request ends the server
            logging.getLogger("uvicorn.error").exception("a request failed")
            response = JSONResponse({"detail": "the server failed; its log has the reason"}, 500)
        self._requests.labels(response.status_code).inc()
        return response

    async def _answered(self, request: Request) -> list[dict[str, Any]]:
        """Return the rows for a request, within the limits."""
        what, status = "a whole request", 408
        with self._load.request() as count:
            try:
                async with asyncio.timeout(self._limits.seconds):
                    files = await read(request, self._limits, count)
                    what, status = "an answer", 504
                    return await self._rows(files)
            except TimeoutError as error:
                reason = f"expected {what} within {self._limits.seconds} s, found none"
                raise HTTPException(status, reason) from error

    async def _rows(self, files: list[Sent]) -> list[dict[str, Any]]:
        jobs = [self._in(self._decoders, self._cut_out, data) for _, data in files]
        found = await asyncio.gather(*jobs)
        reasons = [
            f"image {number}{f' ({name})' if name else ''}: {cut_out}"
            for number, ((name, _), cut_out) in enumerate(zip(files, found, strict=True))
            if isinstance(cut_out, BadImageError)
        ]
        if reasons:
            raise HTTPException(400, "; ".join(reasons))
        cut_outs, shares = zip(*found, strict=True)
        answers = self._inference.columns_of_cut_outs
        columns = await self._in(self._network, answers, np.stack(cut_outs), shares)
        columns = {"path": [name for name, _ in files], **columns}
        columns["engine"] = [self._engine] * len(files)
        rows = zip(*columns.values(), strict=True)
        return [rounded(dict(zip(columns, row, strict=True))) for row in rows]

    def _cut_out(self, data: bytes) -> tuple[Image, float] | BadImageError:
        """Return the input of the network for an image file, and its share of foreground."""
        pixels = _pixels(data)
        if pixels > self._limits.pixels:
            return BadImageError(
                f"expected at most {self._limits.pixels:,} pixels, found {pixels:,}"
            )
        with self._large if pixels > _LARGE else nullcontext():
            try:
                image = self._inference.decode(data)
            except BadImageError as error:
                return error
        return self._inference.cut_out_with_share(image)

    @staticmethod
    async def _in(pool: ThreadPoolExecutor, action: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, action, *arguments)


def _pixels(data: bytes) -> int:
    """Return the number of pixels in the header of an image file; 0 for one that has none."""
    with suppress(Exception), PillowImage.open(io.BytesIO(data), formats=FORMATS) as header:
        return header.width * header.height
    return 0


def _rendered(card: str) -> tuple[str, str]:
    """Return the title of a model card, and the card, as HTML."""
    markdown = MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse(_HEAD.sub("", card))
    headings = [
        (opening, text.content)
        for opening, text in pairwise(tokens)
        if opening.type == "heading_open"
    ]
    for opening, text in headings:  # for links, as on GitHub
        opening.attrSet("id", re.sub(r"[^\w-]", "", text.lower().replace(" ", "-")))
    title = headings[0][1] if headings else "Seedlings"
    return html.escape(title), markdown.renderer.render(tokens, markdown.options, {})
