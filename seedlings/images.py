"""Images: decodes files to RGB uint8, resizes images, and encodes them as PNG."""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from seedlings.errors import SeedlingsError

# `read` reports a file that cannot be decoded, with its name; OpenCV need not log it as well.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# An image of 20,000 x 20,000 pixels needs 1.2 GB decoded; the largest cameras are below the limit.
MAX_PIXELS = 150_000_000

_DAMAGED = "expected a whole image, found a truncated or damaged one"

Image = NDArray[np.uint8]


class BadImageError(SeedlingsError):
    """A file that is not an image, or an image that is damaged or too large."""


def read(path: Path) -> Image:
    """Return the image in a file; see `decode`."""
    return decode(path.read_bytes(), name=str(path))


def decode(data: bytes, *, name: str = "") -> Image:
    """Return an encoded image (PNG, JPEG, WebP, TIFF, BMP, ...) as H x W x 3, RGB uint8.

    Grey, palette and CMYK images are converted to RGB, 16 bits to 8; transparent pixels are blended
    with black, like the background in the segmentation; the EXIF orientation is applied.

    Raises BadImageError for data that is not an image, is truncated, or has more than MAX_PIXELS;
    its message begins with `name`, if there is one.
    """
    try:
        return _decode(data)
    except BadImageError as error:
        if not name:
            raise
        raise BadImageError(f"{name}: {error}") from error


def _decode(data: bytes) -> Image:
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
    """Return the image resized to height x width: by area if it gets smaller, else bilinear."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] * image.shape[1] > height * width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)


def encode_png(image: Image) -> bytes:
    """Return an RGB uint8 image as PNG; equal pixels give equal bytes."""
    done, buffer = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError(f"expected an image that PNG can encode, found the shape {image.shape}")
    return buffer.tobytes()


def _check_header(data: bytes) -> bool:
    """Return whether an image has transparency. Reads only the header, not the pixels of a bomb."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # errors are raised; warnings do not affect the pixels
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
    """Return a transparent image blended with black, in its EXIF orientation."""
    try:
        with PillowImage.open(io.BytesIO(data)) as image:
            layers = np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
    except (OSError, SyntaxError, ValueError) as error:
        raise BadImageError(_DAMAGED) from error
    alpha = layers[:, :, 3:].astype(np.float32) / 255.0
    return np.round(layers[:, :, :3] * alpha).astype(np.uint8)
