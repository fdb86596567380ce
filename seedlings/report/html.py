"""Pages: HTML files that stand alone, with their pictures and styles inside."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image as PillowImage

from seedlings import images
from seedlings.io.files import replacing
from seedlings.plots.image_grid import Image

_QUALITIES = (85, 70, 50, 30)
_SIDE = 4096  # pixels; browsers show no more on a phone
_BASE64 = 4 / 3

TEMPLATES = Path(__file__).parent / "templates"


def write(template: Path, values: Mapping[str, Any], path: Path) -> None:
    """Fill a template, which may extend `page.html`, and write it to `path`."""
    templates = Environment(
        loader=FileSystemLoader([template.parent, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = templates.get_template(template.name).render(values)
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def embed(pictures: Sequence[Path], megabytes: float) -> dict[str, str]:
    """Each picture, by its path, as a data address (WebP), all of them within `megabytes`.

    Those that would take more than their share are made coarser, then smaller.
    """
    share = int(megabytes * 1e6 / _BASE64 / max(len(pictures), 1))
    return {path.as_posix(): data_address(images.read(path), share) for path in pictures}


def data_address(picture: Image, most: int = 1_000_000) -> str:
    """A picture (RGB uint8) as a data address of at most `most` bytes before its base64."""
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
