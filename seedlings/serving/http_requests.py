"""Requests over HTTP: the image files in them, within limits.

A request is multipart/form-data with files, JSON with base64, or one file as its body.
"""

import json
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, fields, replace

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from seedlings.serving.base64_files import file_of

# A request that cannot be read is answered with the reason; it need not be logged as well.
logging.getLogger("python_multipart").setLevel(logging.ERROR)

Sent = tuple[str | None, bytes]  # the name of an image file, if the request has one; its content
Count = Callable[[int], None]

_BODIES = 4  # of the largest size, that are in memory at the same time
_FILES = 1000  # of a form, beyond which it is not read
_FORMS = (
    "expected image files as multipart/form-data (`curl -F file=@leaf.jpg`), as JSON in base64 or "
    'as data URIs ({"images": ["iVBORw0KGgo..."]}), or one file as the body'
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server accepts.

    `body` is the size of a request in bytes, `images` their number in a request, `pixels` the size
    of an image, `seconds` the time of a request, and `requests` their number at the same time.
    """

    body: int = 64 * 2**20
    images: int = 32
    pixels: int = 50_000_000
    seconds: int = 30
    requests: int = 64

    def changed(self, changes: Iterable[str]) -> "Limits":
        """Return the limits with some others, such as `images=100`. Raises ValueError."""
        known = [field.name for field in fields(self)]
        others = {}
        for change in changes:
            name, _, value = change.partition("=")
            if name not in known or not value.isdecimal() or int(value) == 0:
                raise ValueError(
                    f"expected one of {', '.join(known)}, with a number above 0, such as "
                    f"images=100; found {change}"
                )
            others[name] = int(value)
        return replace(self, **others)


class Load:
    """The number of requests that a server answers now, and the size of their bodies."""

    def __init__(self, limits: Limits) -> None:
        self.requests = 0
        self._bytes = 0
        self._limits = limits

    @contextmanager
    def request(self) -> Iterator[Count]:
        """Count a request; yield a function that counts bytes of its body.

        Raises HTTPException: 503 if there are as many requests or bytes as are allowed, and 413 for
        a body that is too large.
        """
        if self.requests >= self._limits.requests:
            raise _busy()
        self.requests += 1
        size = 0

        def count(more: int) -> None:
            nonlocal size
            size += more
            self._bytes += more
            check_size(size, self._limits)
            if self._bytes > _BODIES * self._limits.body:
                raise _busy()

        try:
            yield count
        finally:
            self.requests -= 1
            self._bytes -= size


def check_size(size: int, limits: Limits) -> None:
    """Raise HTTPException (413) if the size of a body in bytes is too large."""
    if size > limits.body:
        raise HTTPException(413, f"expected a request of at most {limits.body:,} bytes, found more")


async def read(request: Request, limits: Limits, count: Count) -> list[Sent]:
    """Return the image files in a request, in order; `count` is called with the bytes that arrive.

    Raises HTTPException: 400 for a request in another form, and 413 for one that is too large.
    """
    length = request.headers.get("content-length", "")
    check_size(int(length) if length.isdecimal() else 0, limits)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    async with aclosing(_counted(request, count)) as chunks:
        if kind == "multipart/form-data":
            found = await _of_form(request, chunks, limits)
        else:
            body = b"".join([chunk async for chunk in chunks])
            is_json = kind == "application/json" or kind.endswith("+json")
            found = _of_json(body, limits) if is_json else [(None, body)]
    if not found or found == [(None, b"")]:
        raise HTTPException(400, f"{_FORMS}; found none")
    if len(found) > limits.images:
        raise HTTPException(413, f"expected at most {limits.images} images, found {len(found)}")
    return found


async def _counted(request: Request, count: Count) -> AsyncGenerator[bytes]:
    async for chunk in request.stream():
        count(len(chunk))
        yield chunk


async def _of_form(request: Request, chunks: AsyncGenerator[bytes], limits: Limits) -> list[Sent]:
    """Return the files of a form, which stay in memory, whatever the names of their fields are."""
    most = max(_FILES, limits.images)
    parser = MultiPartParser(request.headers, chunks, max_files=most, max_fields=most)
    parser.spool_max_size = limits.body
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, f"{_FORMS}; found another form: {error.message}") from error
    except ValueError as error:  # of a codec that the request names
        raise HTTPException(400, f"{_FORMS}; found another form: {error}") from error
    found: list[Sent] = []
    try:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                raise HTTPException(400, f"{_FORMS}; found text in the field {_printable(name)!r}")
            found.append((_printable(value.filename or ""), await value.read()))
    finally:
        await form.close()
    return found


def _of_json(body: bytes, limits: Limits) -> list[Sent]:
    # A value takes 20 times as much memory as its text; a request needs few.
    if sum(map(body.count, (b",", b"[", b"{"))) > 4 * max(_FILES, limits.images):
        raise HTTPException(400, f"{_FORMS}; found too many values in JSON")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"{_FORMS}; found damaged JSON: {error}") from error
    texts = value.get("images") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(texts, list):
        raise HTTPException(400, f"{_FORMS}; found other JSON")
    found: list[Sent] = []
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            reason = f"it has the type {type(text).__name__}"
            raise HTTPException(400, f"{_FORMS}; image {number} is not: {reason}")
        try:
            found.append((None, file_of(text)))
        except ValueError as error:
            raise HTTPException(400, f"{_FORMS}; image {number} is not: {error}") from error
    return found


def _busy() -> HTTPException:
    return HTTPException(
        503, "the server answers as many requests as it can; try again", {"Retry-After": "1"}
    )


def _printable(text: str) -> str:
    """Return a text that UTF-8 can encode."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
