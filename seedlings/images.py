"""Images: decodes files to RGB uint8, resizes images, and encodes them as PNG."""

import io
import re
import threading
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePath

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, UnidentifiedImageError
from PIL import Image as PillowImage

from seedlings.errors import SeedlingsError

# `read` reports a file that cannot be decoded, with its name; OpenCV need not log it as well.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# An image of 20,000 x 20,000 pixels needs 1.2 GB decoded; the largest cameras are below the limit.
MAX_PIXELS = 150_000_000

# Pillow opens more, some of them with programs such as Ghostscript.
_READ = "AVIF BMP DDS DIB GIF ICO JPEG JPEG2000 PCX PNG PPM QOI SGI SUN TGA TIFF WEBP"
FORMATS = tuple(_READ.split())

# OpenCV decodes these faster than Pillow. MPO is JPEG with a second picture.
_JPEG = ("JPEG", "MPO")
_BY_OPENCV = (*_JPEG, "PNG", "WEBP")

# The decoder of JPEG computes a reduced image from the lower frequencies alone.
_REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
}

# The type of an AVIF file's EXIF block, which says no more than its own header (irot, imir).
_AVIF_EXIF = re.compile(rb"(?<=infe.{8})Exif", re.DOTALL)
_PNG_STEPS = {2: 85, 4: 17}  # from grey values of 2 and 4 bits to those of 8, by their depth
_PREVIEW = 1  # a bit of NewSubfileType in TIFF

_DAMAGED = "expected a whole image, found a truncated or damaged one"
_ORIENTATIONS = range(1, 9)  # of EXIF
_TRANSPOSED = range(5, 9)
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # codes of cv2.flip

Image = NDArray[np.uint8]
Size = tuple[int, int]  # height and width


class BadImageError(SeedlingsError):
    """A file that is not an image, or an image that is damaged, too large or of another format."""


def has_image_ending(name: str) -> bool:
    """Return whether a file name has the ending of a format that `decode` reads."""
    return PurePath(name).suffix.lower() in _endings()


@cache
def _endings() -> frozenset[str]:
    known = PillowImage.registered_extensions().items()
    return frozenset(ending for ending, kind in known if kind in (*FORMATS, *_BY_OPENCV))


class _Silence:
    """Ignores warnings while any thread decodes.

    The filters of warnings are those of the process, and `warnings.catch_warnings` in two threads
    may leave those of one of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._filters = warnings.catch_warnings(action="ignore")
                self._filters.__enter__()
            self._inside += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._filters.__exit__(None, None, None)


_silence = _Silence()


def read(path: Path, *, least: Size | None = None) -> Image:
    """Return the image in a file; see `decode`."""
    return decode(path.read_bytes(), name=str(path), least=least)


def decode(data: bytes, *, name: str = "", least: Size | None = None) -> Image:
    """Return an encoded image, in one of FORMATS, as H x W x 3, RGB uint8.

    Grey, palette, CMYK, YCbCr and LAB images are converted to RGB. The upper 8 of 16 bits are kept.
    Transparent pixels are blended with black, like the background in the segmentation. The
    orientation of EXIF, TIFF and AVIF is applied. An animation gives its first frame, and a file
    with several pages the first page.

    With `least`, a height and a width, both sides are divided by the `reduction` of the image, and
    rounded up: of JPEG by its decoder, of other formats by area after decoding.

    Raises BadImageError for data that is not an image in one of FORMATS, is damaged, has channels
    of 32 bits, or has more than MAX_PIXELS; its message begins with `name`, if there is one.
    """
    try:
        with _silence:  # errors are raised; warnings do not affect the pixels
            return _decode(data, least)
    except BadImageError as error:
        if not name:
            raise
        raise BadImageError(f"{name}: {error}") from error


def reduction(height: int, width: int, least: Size | None) -> int:
    """Return the largest of 8, 4, 2 and 1 by which both sides can be divided and keep `least`.

    `least` is a height and a width. It is 1 if a side is smaller, or without `least`.
    """
    if least is None:
        return 1
    fitting = (n for n in _REDUCED if height >= n * least[0] and width >= n * least[1])
    return next(fitting, 1)


def _decode(data: bytes, least: Size | None) -> Image:
    with _opened(data) as image:
        try:
            _check(image)
            if image.format in _JPEG:
                return _by_opencv(data, image, reduction(*_upright_size(image), least))
            pixels = _by_opencv(data, image) if image.format in _BY_OPENCV else _by_pillow(image)
            height, width = pixels.shape[:2]
            divisor = reduction(height, width, least)
            return resize(pixels, -(-height // divisor), -(-width // divisor))
        except (BadImageError, MemoryError):
            raise
        except Exception as error:  # each decoder has its own errors
            raise BadImageError(f"{_DAMAGED} ({_told(error)})") from error


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


def _opened(data: bytes) -> PillowImage.Image:
    """Return an image of which the header is read, and not yet the pixels."""
    if data[4:8] == b"ftyp":  # Pillow would refuse a damaged EXIF block
        data = _AVIF_EXIF.sub(b"skip", data)
    try:
        return PillowImage.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise BadImageError(f"expected an image, found {_other(data)}") from error
    except PillowImage.DecompressionBombError as error:
        raise BadImageError(f"expected at most {MAX_PIXELS:,} pixels, found more") from error
    except MemoryError:
        raise
    except Exception as error:  # each format has its own errors
        reason = f"expected an image, but its header is damaged ({_told(error)})"
        raise BadImageError(reason) from error


def _other(data: bytes) -> str:
    """Return what data is that is not an image in one of FORMATS."""
    if not data:
        return "an empty file"
    readable = f"; the formats that are read are {', '.join(FORMATS)}"
    if data[4:8] == b"ftyp":
        return f"ISO media of the brand {data[8:12].decode('ascii', 'replace')!r}{readable}"
    with suppress(Exception), PillowImage.open(io.BytesIO(data)) as image:
        return f"the format {image.format}{readable}"
    return f"{len(data):,} bytes of something else, beginning {data[:8]!r}"


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


def _check(image: PillowImage.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadImageError(f"expected at most {MAX_PIXELS:,} pixels, found {width:,} x {height:,}")
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):  # PPM has 16 bits
        kind = "floats" if image.mode == "F" else "signed or 32-bit integers"
        raise BadImageError(
            f"expected channels of 8 or 16 bits, from black at 0 to white at 255 or 65,535, found "
            f"{kind}, for which black and white are not defined; convert the image to 8 or 16 bits"
        )
    tags = getattr(image, "tag_v2", {})
    if tags.get(ExifTags.Base.NewSubfileType, 0) & _PREVIEW:
        raise BadImageError(
            "expected an image, found a preview of one, as in raw files of cameras; convert the "
            "file to TIFF or PNG"
        )


def _upright_size(header: PillowImage.Image) -> Size:
    """Return the height and width of a JPEG file in the orientation of its EXIF block."""
    turned = _orientation(header.info.get("exif", b"")) in _TRANSPOSED
    return header.size if turned else (header.height, header.width)


def _by_opencv(data: bytes, header: PillowImage.Image, divisor: int = 1) -> Image:
    """Return the pixels of an image; a `divisor` above 1, that of both sides, is for JPEG alone."""
    if header.format == "PNG":
        _check_chunks(data)
    transparent = header.has_transparency_data
    flags = cv2.IMREAD_UNCHANGED
    if not transparent:
        flags = _REDUCED.get(divisor, cv2.IMREAD_COLOR_RGB)
        flags |= cv2.IMREAD_IGNORE_ORIENTATION  # as IMREAD_UNCHANGED does
    pixels, kinds, metadata = cv2.imdecodeWithMetadata(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise BadImageError(_DAMAGED)
    if divisor > 1:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)  # IMREAD_REDUCED has no form in RGB
    if transparent:
        pixels = _without_transparency(pixels, data, header)
    blocks = dict(zip(kinds, metadata, strict=True))
    exif = blocks.get(cv2.IMAGE_METADATA_EXIF)  # also from the end of a PNG file
    return _turned(pixels, header.info.get("exif", b"") if exif is None else exif.tobytes())


def _check_chunks(data: bytes) -> None:
    """Check the lengths of the chunks of a PNG file, because OpenCV allocates what they claim."""
    place, kind = 8, b""
    while kind != b"IEND":
        kind = data[place + 4 : place + 8]
        place += 12 + int.from_bytes(data[place : place + 4])
        if place > len(data):
            raise BadImageError(f"{_DAMAGED} (it ends before its last chunk does)")


def _without_transparency(pixels: NDArray, data: bytes, header: PillowImage.Image) -> Image:
    """Return what OpenCV decodes of a transparent image (BGRA, or grey), blended with black."""
    if pixels.ndim == 2:  # grey, of which one value is transparent (PNG), which OpenCV ignores
        value = header.info["transparency"] * _PNG_STEPS.get(data[24], 1)
        pixels[pixels == value] = 0
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return _on_black(PillowImage.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA)))


def _by_pillow(image: PillowImage.Image) -> Image:
    if image.format == "TIFF":  # Pillow applies the orientation, but reads the other tags as well
        exif = image.getexif()
        for tag in exif.keys() - {ExifTags.Base.Orientation}:
            del exif[tag]
    image.load()
    if image.mode.startswith("I"):
        pixels = cv2.cvtColor(_upper_bits(image), cv2.COLOR_GRAY2RGB)
    elif image.has_transparency_data:
        pixels = _on_black(image)
    else:
        pixels = np.array(image.convert("RGB"))
    return _turned(pixels, image.info.get("exif", b""))


def _upper_bits(image: PillowImage.Image) -> NDArray[np.uint8]:
    """Return the upper 8 bits of a grey image of 16 bits, or 12 bits (TIFF)."""
    tags = getattr(image, "tag_v2", {})
    values = np.asarray(image)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # 0 is white
        values = 65535 - values
    bits = tags.get(ExifTags.Base.BitsPerSample, (16,))[0]
    return (values >> (bits - 8)).astype(np.uint8)


def _on_black(image: PillowImage.Image) -> Image:
    """Return a transparent image blended with black, which premultiplication by alpha does."""
    if image.mode == "La":  # premultiplied already, and Pillow does not convert it to RGB
        return np.array(image.getchannel("L").convert("RGB"))
    if image.mode != "RGBa":
        image = image.convert("RGBA").convert("RGBa")
    return np.array(image)[:, :, :3].copy()


def _turned(pixels: Image, exif: bytes) -> Image:
    """Return pixels in the orientation of an EXIF block, if it is one and has one."""
    orientation = _orientation(exif)
    if orientation in _TRANSPOSED:
        pixels = cv2.transpose(pixels)
    return cv2.flip(pixels, _FLIPS[orientation]) if orientation in _FLIPS else pixels


def _orientation(exif: bytes) -> int:
    """Return the orientation in an EXIF block, 1 to 8; 1 if there is none."""
    block, found = PillowImage.Exif(), None
    with suppress(Exception):  # a damaged block
        block.load(exif)
        found = block.get(ExifTags.Base.Orientation)
    return found if isinstance(found, int) and found in _ORIENTATIONS else 1
