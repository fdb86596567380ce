"""Images: from the bytes of a file to RGB uint8, and to the one size the network sees."""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from seedlings.errors import SeedlingsError

# A file that cannot be decoded is reported by `decode`, once and with its name.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# One of 20,000 x 20,000 would take 1.2 GB decoded; the largest real cameras stay below this.
MAX_PIXELS = 150_000_000

_DAMAGED = "expected a whole image, found a truncated or damaged one"

Image = NDArray[np.uint8]


class BadImageError(SeedlingsError):
    """A file that is no image, or a damaged or an oversized one."""


def read(path: Path) -> Image:
    """The image in a file; see `decode`."""
    try:
        return decode(path.read_bytes())
    except BadImageError as error:
        raise BadImageError(f"{path}: {error}") from error


def decode(data: bytes) -> Image:
    """An encoded image (PNG, JPEG, WebP, TIFF, BMP, ...) as H x W x 3, RGB uint8.

    Grey, palette and CMYK become RGB, 16 bits become 8, a transparent image lies on black (which
    is what the background becomes later), and the orientation in EXIF is applied.

    Raises BadImageError for what is no image, is truncated, or has more than MAX_PIXELS.
    """
    if _check_header(data):
        return _on_black(data)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise BadImageError(f"cannot be decoded ({error.err})") from error
    if pixels is None:
        raise BadImageError(_DAMAGED)
    return pixels


def resize(image: Image, height: int, width: int) -> Image:
    """The image stretched to height x width: by area where it shrinks, else bilinear."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] * image.shape[1] > height * width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)


def encode_png(image: Image) -> bytes:
    """A PNG of an RGB uint8 image; the same pixels give the same bytes."""
    done, buffer = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f"an image of shape {image.shape} cannot be written as PNG")
    return buffer.tobytes()


def _check_header(data: bytes) -> bool:
    """Whether the image has transparency. Reads the header alone, so a bomb is never unpacked."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong is told by an error, or is no matter
            with PillowImage.open(io.BytesIO(data)) as header:
                width, height = header.size
                transparent = "A" in header.getbands() or "transparency" in header.info
    except UnidentifiedImageError as error:
        raise BadImageError(f"expected an image, found {_describe(data)}") from error
    except PillowImage.DecompressionBombError as error:
        raise BadImageError(f"expected at most {MAX_PIXELS:,} pixels, found more") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise BadImageError(f"expected an image, but its header is damaged ({error})") from error
    if width * height > MAX_PIXELS:
        raise BadImageError(f"expected at most {MAX_PIXELS:,} pixels, found {width:,} x {height:,}")
    return transparent


def _describe(data: bytes) -> str:
    if not data:
        return "an empty file"
    return f"{len(data):,} bytes of something else, beginning {data[:8]!r}"


def _on_black(data: bytes) -> Image:
    """A transparent image as RGB over black, turned as EXIF says."""
    try:
        with PillowImage.open(io.BytesIO(data)) as image:
            layers = np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
    except (OSError, SyntaxError, ValueError) as error:
        raise BadImageError(_DAMAGED) from error
    alpha = layers[:, :, 3:].astype(np.float32) / 255.0
    return np.round(layers[:, :, :3] * alpha).astype(np.uint8)
