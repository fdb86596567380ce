"""HTML pages: files from templates, with embedded images and styles."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image as PillowImage

from seedlings import images
from seedlings.images import Image
from seedlings.io.files import write_text

_QUALITIES = (85, 70, 50, 30)
_SIDE = 4096  # pixels; browsers on phones do not show larger images
_BASE64 = 4 / 3

TEMPLATES = Path(__file__).parent / "templates"


def write(template: Path, values: Mapping[str, Any], path: Path) -> None:
    """Write a template, filled with `values`, to `path`.

    The template may extend `page.html`. HTML in the values is escaped. Raises
    jinja2.UndefinedError if the template uses a name that `values` does not have.
    """
    templates = Environment(
        loader=FileSystemLoader([template.parent, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = templates.get_template(template.name).render(values)
    write_text(path, text)


def embed(pictures: Sequence[Path], megabytes: float) -> dict[str, str]:
    """Return each image as a data URL (WebP), by path; together they have at most `megabytes`.

    Every image has the same limit. An image above the limit is encoded at a lower quality, then
    reduced in size.
    """
    share = int(megabytes * 1e6 / _BASE64 / max(len(pictures), 1))
    return {path.as_posix(): data_address(images.read(path), share) for path in pictures}


def data_address(picture: Image, most: int = 1_000_000) -> str:
    """Return an image (RGB uint8) as a data URL of at most `most` bytes before base64."""
    return "data:image/webp;base64," + base64.b64encode(_webp(picture, most)).decode()


def _webp(picture: Image, most: int) -> bytes:
    whole = PillowImage.fromarray(picture)
    whole.thumbnail((_SIDE, _SIDE))
    while True:
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            whole.save(buffer, "webp", quality=quality, method=4)
            if buffer.tell() <= most or max(whole.size) < 64:
                return buffer.getvalue()
        whole = whole.reduce(2)
