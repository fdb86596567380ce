"""Images of every format, mode and orientation, against one drawn reference."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageCms

from benchmarks.model_servers import png_that_claims
from seedlings import images
from seedlings.images import BadImageError

Image = NDArray[np.uint8]

ORIENTATION = 0x0112
# The modes that Pillow writes in each format that keeps every value.
LOSSLESS = {
    "BMP": "1 L P RGB",
    "DDS": "L LA RGB RGBA",
    "DIB": "1 L P RGB",
    "GIF": "1 L P",
    "ICO": "1 L LA P RGB RGBA I;16",
    "JPEG2000": "L LA RGB RGBA I;16",
    "PCX": "1 L P RGB",
    "PNG": "1 L LA P RGB RGBA I;16",
    "PPM": "1 L RGB I;16",
    "QOI": "RGB RGBA",
    "SGI": "L RGB RGBA",
    "TGA": "1 L LA P RGB RGBA",
    "TIFF": "1 L LA P PA RGB RGBA CMYK YCbCr LAB I;16",
    "WEBP": "L RGB RGBA",
}
ORIENTED = ("PNG", "TIFF", "WEBP")
TOLERANCE = {"YCbCr": 3, "LAB": 3}  # of 8 bits in another colour space
OPTIONS = {"WEBP": {"lossless": True}, "ICO": {"sizes": [(9, 7)]}}
CASES = [
    (kind, mode, orientation)
    for kind, modes in LOSSLESS.items()
    for mode in modes.split()
    for orientation in (range(1, 9) if kind in ORIENTED else [1])
]


def encoded(image: PillowImage.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def drawn(mode: str) -> tuple[PillowImage.Image, Image]:
    """An image of 7 x 9 pixels in a mode, and its pixels in RGB on black."""
    rng = np.random.default_rng(3)
    palette = rng.integers(60, 200, (16, 3), dtype=np.uint8)
    indices = rng.integers(0, 16, (7, 9), dtype=np.uint8)
    colours = palette[indices]
    grey = colours[..., 0]
    greys = np.stack([grey] * 3, axis=2)
    alpha = rng.choice(np.array([0, 51, 200, 255], np.uint8), (7, 9))
    share = alpha[..., None] / 255
    in_palette = PillowImage.fromarray(indices)
    in_palette.putpalette(palette.tobytes())
    if mode == "1":
        white = grey > 128
        return PillowImage.fromarray(white), np.stack([white * np.uint8(255)] * 3, axis=2)
    if mode == "L":
        return PillowImage.fromarray(grey), greys
    if mode == "I;16":
        low = rng.integers(0, 256, (7, 9), dtype=np.uint16)
        return PillowImage.fromarray(grey * np.uint16(256) + low), greys
    if mode == "P":
        return in_palette, colours
    if mode == "PA":
        image = in_palette.convert("PA")
        image.putalpha(PillowImage.fromarray(alpha))
        return image, np.round(colours * share).astype(np.uint8)
    if mode == "LA":
        return PillowImage.fromarray(np.dstack([grey, alpha])), np.round(greys * share).astype(
            np.uint8
        )
    if mode == "RGBA":
        layers = np.dstack([colours, alpha])
        return PillowImage.fromarray(layers), np.round(colours * share).astype(np.uint8)
    if mode == "CMYK":
        ink = np.dstack([255 - colours, np.zeros_like(grey)])
        return PillowImage.fromarray(ink, "CMYK"), colours
    if mode == "LAB":
        rgb, lab = (ImageCms.createProfile(space) for space in ("sRGB", "LAB"))
        image = PillowImage.fromarray(colours)
        return ImageCms.profileToProfile(image, rgb, lab, outputMode="LAB"), colours
    return PillowImage.fromarray(colours).convert(mode), colours


def turned(image: Image, orientation: int) -> Image:
    """An image as the table of the EXIF standard turns and mirrors it."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return image[::-1] if orientation in (3, 4, 7, 8) else image


def oriented(orientation: int) -> PillowImage.Exif:
    exif = PillowImage.Exif()
    exif[ORIENTATION] = orientation
    return exif


def difference(one: Image, other: Image) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize(("kind", "mode", "orientation"), CASES)
def test_each_format_and_mode_gives_the_pixels_that_were_drawn(
    kind: str, mode: str, orientation: int
) -> None:
    image, pixels = drawn(mode)
    options = dict(OPTIONS.get(kind, {}))
    if kind in ORIENTED:
        options["exif"] = oriented(orientation)
    decoded = images.decode(encoded(image, kind, **options))
    assert difference(decoded, turned(pixels, orientation)) <= TOLERANCE.get(mode, 0)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous


def smooth(mode: str) -> PillowImage.Image:
    """A smooth image of 32 x 48 pixels, which lossy formats change little."""
    coarse = np.random.default_rng(1).integers(40, 216, (3, 4, 3), dtype=np.uint8)
    image = PillowImage.fromarray(coarse).resize((48, 32), PillowImage.Resampling.BICUBIC)
    return image.convert(mode)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "L"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("AVIF", "RGB"), ("AVIF", "RGBA")],
)
def test_a_lossy_image_is_near_what_was_drawn_and_turned_without_a_change(
    kind: str, mode: str, orientation: int
) -> None:
    image = smooth(mode)
    reference = np.asarray(image.convert("RGB"))
    if mode == "RGBA":
        image.putpixel((0, 0), (0, 0, 0, 254))
    plain = images.decode(encoded(image, kind, quality=95))
    assert difference(plain[4:], reference[4:]) <= 8
    data = encoded(image, kind, quality=95, exif=oriented(orientation))
    assert np.array_equal(images.decode(data), turned(plain, orientation))


@pytest.mark.parametrize(("kind", "quality"), [("AVIF", 60), ("WEBP", 60)])
def test_a_lossy_image_has_the_same_pixels_with_and_without_an_alpha_channel(
    kind: str, quality: int
) -> None:
    opaque, layered = smooth("RGB"), smooth("RGBA")
    layered.putpixel((0, 0), (*opaque.getpixel((0, 0)), 254))
    without, with_alpha = (
        images.decode(encoded(image, kind, quality=quality)) for image in (opaque, layered)
    )
    with_alpha[0, 0] = without[0, 0]
    assert np.array_equal(with_alpha, without)


@pytest.mark.parametrize("kind", ["AVIF", "GIF", "MPO", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_the_first_of_several_pictures_is_read(kind: str, mode: str) -> None:
    if kind == "MPO" and mode == "RGBA":
        mode = "L"
    first, second = smooth(mode), smooth(mode).rotate(180)
    data = encoded(first, kind, save_all=True, append_images=[second])
    with PillowImage.open(io.BytesIO(data)) as image:
        assert image.n_frames == 2
    decoded = images.decode(data)
    expected = np.asarray(first.convert("RGB"))
    assert np.abs(decoded.astype(int) - expected).mean() < 6


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("ending", [".png", ".tiff"])
def test_the_upper_8_of_16_bits_are_kept(
    ending: str, channels: int, rng: np.random.Generator
) -> None:
    deep = rng.integers(0, 65536, (20, 20, channels), dtype=np.uint16)
    deep[..., 3:] = 65535
    blue_first = deep[..., [2, 1, 0, 3][:channels]] if channels > 1 else deep
    data = cv2.imencode(ending, blue_first)[1]
    expected = np.broadcast_to(deep[..., :3] >> 8, (20, 20, 3))
    assert np.array_equal(images.decode(data.tobytes()), expected)


def png(depth: int, colour_type: int, pixels: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of one row of two pixels, or of those that fill a byte."""
    width = max(2, 8 // depth)
    header = struct.pack(">IIBBBBB", width, 1, depth, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"\0" + pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


@pytest.mark.parametrize(
    ("depth", "colour_type", "pixels", "key", "expected"),
    [
        (1, 0, bytes([0b01010101]), [0], [0, 255] * 4),
        (1, 0, bytes([0b01010101]), [1], [0] * 8),
        (2, 0, bytes([0b11100100]), [2], [255, 0, 85, 0]),
        (4, 0, bytes([0xF4]), [15], [0, 68]),
        (8, 0, bytes([90, 40]), [90], [0, 40]),
        (16, 0, struct.pack(">2H", 0x1234, 0x1235), [0x1234], [0, 0x12]),
        (8, 2, bytes([90, 90, 90, 40, 40, 40]), [90, 90, 90], [0, 40]),
        (16, 2, struct.pack(">6H", *[0x1234] * 3, *[0x1235] * 3), [0x1234] * 3, [0, 0x12]),
    ],
)
def test_a_transparent_colour_becomes_black(
    depth: int, colour_type: int, pixels: bytes, key: list[int], expected: list[int]
) -> None:
    data = png(depth, colour_type, pixels, (b"tRNS", struct.pack(f">{len(key)}H", *key)))
    assert images.decode(data)[0].tolist() == [[value] * 3 for value in expected]


def tiff(
    bits: int, photometric: int, data: bytes, *, kind: int = 1, preview: int = 0, last: bytes = b""
) -> bytes:
    """A little-endian grey TIFF of one row of two pixels; `last` are more entries of 12 bytes."""
    tags = {254: preview, 256: 2, 257: 1, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1}
    tags |= {278: 1, 279: len(data), 339: kind}
    count = len(tags) + len(last) // 12
    tags[273] = 8 + 2 + 12 * count + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", count) + entries + last + bytes(4)
    return b"II*\0\x08\0\0\0" + directory + data


@pytest.mark.parametrize(
    ("bits", "photometric", "data", "expected"),
    [
        (12, 1, bytes([0xFF, 0xF8, 0x00]), [255, 128]),
        (16, 1, struct.pack("<2H", 65535, 0x1234), [255, 0x12]),
        (16, 0, struct.pack("<2H", 65535, 0), [0, 255]),  # 0 is white
        (8, 0, bytes([255, 0]), [0, 255]),
    ],
)
def test_black_and_white_of_a_grey_tiff_become_0_and_255(
    bits: int, photometric: int, data: bytes, expected: list[int]
) -> None:
    assert images.decode(tiff(bits, photometric, data))[0, :, 0].tolist() == expected


@pytest.mark.parametrize(("mode", "tolerance"), [("LA", 0), ("RGBA", 1)])
def test_colours_that_a_tiff_has_multiplied_by_alpha_are_not_multiplied_again(
    mode: str, tolerance: int
) -> None:
    image, on_black = drawn(mode)
    layers = np.array(image)
    layers[..., :-1] = on_black[..., : layers.shape[2] - 1]
    entry = struct.Struct("<HHIHH")
    unassociated, associated = (entry.pack(338, 3, 1, value, 0) for value in (2, 1))
    data = encoded(PillowImage.fromarray(layers), "TIFF")
    assert unassociated in data
    decoded = images.decode(data.replace(unassociated, associated))
    assert difference(decoded, on_black) <= tolerance


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (tiff(16, 1, struct.pack("<2h", -5, 5), kind=2), "signed or 32-bit integers"),
        (tiff(32, 1, struct.pack("<2I", 5, 2**32 - 1)), "signed or 32-bit integers"),
        (tiff(32, 1, struct.pack("<2f", 0.5, 1), kind=3), "floats"),
        (b"Pf\n2 1\n-1.0\n" + struct.pack("<2f", 0.5, 1), "floats"),
    ],
)
def test_values_without_a_black_and_a_white_are_refused(data: bytes, found: str) -> None:
    with pytest.raises(BadImageError, match=f"channels of 8 or 16 bits.* found {found}.*convert"):
        images.decode(data)


def test_the_preview_in_a_raw_file_of_a_camera_is_refused() -> None:
    with pytest.raises(BadImageError, match="found a preview.*convert the file"):
        images.decode(tiff(8, 1, bytes([1, 2]), preview=1))


def test_a_pnm_is_scaled_by_its_own_maximum() -> None:
    assert images.decode(b"P5\n3 1\n15\n" + bytes([0, 7, 15]))[0, :, 0].tolist() == [0, 119, 255]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "format EPS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "ISO media of the brand 'heic'"),
    ],
)
def test_the_name_of_a_format_that_is_not_read_is_told_with_those_that_are(
    data: bytes, found: str
) -> None:
    with pytest.raises(BadImageError, match=f"found .*{found}; the formats.* AVIF, .*JPEG, .*WEBP"):
        images.decode(data)


def exif_block(*entries: bytes, tail: bytes = b"") -> bytes:
    """A little-endian EXIF block with these entries of 12 bytes."""
    start = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    return start + b"".join(entries) + bytes(4) + tail


RIGHT = struct.pack("<HHIHH", ORIENTATION, 3, 1, 6, 0)
AFTER = 8 + 2 + 12 * 2 + 4  # the place of the tail
DAMAGED_EXIF = {
    "one cut short": (b"Exif\0\0II*\0", 1),
    "noise": (b"Exif\0\0" + bytes(range(40)), 1),
    "an empty orientation": (exif_block(struct.pack("<HHII", ORIENTATION, 3, 0, 0)), 1),
    "three orientations": (exif_block(struct.pack("<HHII", ORIENTATION, 3, 3, 0x1000)), 1),
    "two headers": (b"Exif\0\0" + exif_block(RIGHT), 6),
    "a text of rationals": (
        exif_block(RIGHT, struct.pack("<HHII", 0x010E, 5, 1, AFTER), tail=bytes(8)),
        6,
    ),
    "a resolution that is no number": (
        exif_block(
            RIGHT, struct.pack("<HHII", 0x011A, 12, 1, AFTER), tail=struct.pack("<d", np.nan)
        ),
        6,
    ),
    "a division by 0": (
        exif_block(
            RIGHT, struct.pack("<HHII", 0x011A, 5, 1, AFTER), tail=struct.pack("<iI", -1, 0)
        ),
        6,
    ),
    "four for one": (
        exif_block(
            RIGHT, struct.pack("<HHII", 0x011A, 3, 4, AFTER), tail=struct.pack("<4H", 1, 2, 3, 4)
        ),
        6,
    ),
    "an unknown type": (exif_block(RIGHT, struct.pack("<HHII", 0x011A, 200, 1, 5)), 6),
    "a pointer to itself": (exif_block(RIGHT, struct.pack("<HHII", 0x8769, 4, 1, 8)), 6),
    "a pointer that is a text": (exif_block(RIGHT, struct.pack("<HHI4s", 0x8825, 2, 4, b"abc")), 6),
}


@pytest.mark.parametrize("name", DAMAGED_EXIF)
@pytest.mark.parametrize(
    ("kind", "mode"),
    [("JPEG", "RGB"), ("PNG", "RGB"), ("PNG", "RGBA"), ("WEBP", "RGB"), ("WEBP", "RGBA")],
)
def test_a_damaged_exif_block_costs_no_more_than_its_own_orientation(
    kind: str, mode: str, name: str
) -> None:
    block, orientation = DAMAGED_EXIF[name]
    image = smooth(mode)
    if mode == "RGBA":
        image.putpixel((0, 0), (0, 0, 0, 0))
    plain, damaged = encoded(image, kind), encoded(image, kind, exif=block)
    assert np.array_equal(images.decode(damaged), turned(images.decode(plain), orientation))


def test_a_tiff_whose_exif_block_cannot_be_found_is_read() -> None:
    pointer = struct.pack("<HHIi", 0x8769, 9, 1, -1)
    assert images.decode(tiff(8, 1, bytes([1, 2]), last=pointer))[0, :, 0].tolist() == [1, 2]


@pytest.mark.parametrize("name", DAMAGED_EXIF)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_the_header_of_an_avif_says_its_orientation_and_not_its_exif_block(
    mode: str, name: str
) -> None:
    image = smooth(mode)
    if mode == "RGBA":
        image.putpixel((0, 0), (0, 0, 0, 0))
    block = DAMAGED_EXIF[name][0].removeprefix(b"Exif\0\0")
    kept = PillowImage.Exif()
    kept[0x010E] = "x" * len(block)
    space = kept.tobytes()[6:]
    plain = encoded(image, "AVIF", exif=kept)
    assert space in plain
    damaged = plain.replace(space, block.ljust(len(space), b"\0"))
    assert np.array_equal(images.decode(damaged), images.decode(plain))


def test_an_avif_of_another_codec_is_refused() -> None:
    data = encoded(smooth("RGB"), "AVIF")
    item = b"infe\2\0\0\0\0\1\0\0"
    assert item + b"av01" in data
    with pytest.raises(BadImageError, match=r"header is damaged \("):
        images.decode(data.replace(item + b"av01", item + b"hvc1"))


def test_the_orientation_at_the_end_of_a_png_is_applied() -> None:
    block = oriented(6).tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + block))
    for mode in ("RGB", "RGBA"):
        image, pixels = drawn(mode)
        data = encoded(image)
        late = data[:-12] + chunk + data[-12:]
        assert np.array_equal(images.decode(late), turned(pixels, 6))


def test_png_comes_back_as_rgb(noise: Callable[..., Image]) -> None:
    image = noise(30, 50)
    assert np.array_equal(images.decode(encoded(PillowImage.fromarray(image))), image)
    assert np.array_equal(images.decode(images.encode_png(image)), image)


def test_cmyk_becomes_rgb() -> None:
    image = PillowImage.new("CMYK", (16, 16), (0, 255, 255, 0))  # pure red
    decoded = images.decode(encoded(image, "JPEG", quality=100))
    assert np.abs(decoded.astype(int) - (255, 0, 0)).max() <= 3


def test_what_is_transparent_is_blended_with_black() -> None:
    layers = np.full((1, 3, 4), 200, np.uint8)
    layers[0, :, 3] = (255, 0, 51)
    decoded = images.decode(encoded(PillowImage.fromarray(layers)))
    assert decoded[0, :, 0].tolist() == [200, 0, 40]
    grey = PillowImage.new("L", (2, 1), 90)
    grey.putpixel((1, 0), 40)
    assert images.decode(encoded(grey, transparency=90)).tolist() == [[[0] * 3, [40] * 3]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_image_is_refused(kind: str, noise: Callable[..., Image]) -> None:
    data = encoded(PillowImage.fromarray(noise()), kind)
    with pytest.raises(BadImageError, match="truncated or damaged|header is damaged"):
        images.decode(data[: len(data) // 2])


def test_a_png_whose_chunk_claims_more_bytes_than_the_file_has_is_refused() -> None:
    data = encoded(smooth("RGB"))
    place = data.index(b"IDAT") - 4
    claimed = data[:place] + b"\xff\xff\xff\xff" + data[place + 4 :]
    with pytest.raises(BadImageError, match=r"damaged one \(it ends before its last chunk"):
        images.decode(claimed)


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "an empty file"), (b"not an image at all", "b'not an i'")]
)
def test_what_is_no_image_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(BadImageError, match=reason):
        images.decode(data)


@pytest.mark.parametrize(
    ("side", "found"), [(12_300, "12,300 x 12,300"), (13_000, "13,000 x 13,000"), (65_000, "more")]
)
def test_a_bomb_is_refused_by_its_header(side: int, found: str) -> None:
    with pytest.raises(BadImageError, match=f"at most 150,000,000 pixels, found {found}"):
        images.decode(png_that_claims(side, side))


def test_resize_averages_what_it_shrinks() -> None:
    image = np.array([[[0, 0, 0], [100, 50, 10]], [[200, 50, 10], [100, 100, 20]]], np.uint8)
    assert images.resize(image, 1, 1).tolist() == [[[100, 50, 10]]]
    assert images.resize(image, 2, 2) is image
    assert images.resize(image, 7, 3).shape == (7, 3, 3)


@pytest.mark.parametrize(
    ("height", "width", "least", "expected"),
    [
        (3000, 4000, (256, 256), 8),
        (2048, 2048, (256, 256), 8),
        (2047, 4000, (256, 256), 4),  # 2047 / 8 is below 256
        (4000, 1000, (256, 256), 2),  # the shorter side decides
        (511, 511, (256, 256), 1),
        (150, 150, (300, 300), 1),
        (3000, 4000, (300, 300), 8),
        (3000, 4000, (448, 448), 4),
        (800, 400, (100, 50), 8),
        (400, 800, (100, 50), 4),
        (99_999, 99_999, (8, 8), 8),
        (3000, 4000, None, 1),
    ],
)
def test_the_reduction_is_the_largest_that_keeps_both_sides(
    height: int, width: int, least: images.Size | None, expected: int
) -> None:
    assert images.reduction(height, width, least) == expected


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("divisor", [2, 4, 8])
def test_a_reduced_jpeg_is_near_the_mean_of_its_pixels(
    divisor: int, mode: str, progressive: bool
) -> None:
    image = smooth(mode).resize((387, 250))
    data = encoded(image, "JPEG", quality=95, progressive=progressive)
    whole = images.decode(data)
    rows, columns = 250 // divisor, 387 // divisor
    reduced = images.decode(data, least=(rows, columns))
    assert reduced.shape == (-(-250 // divisor), -(-387 // divisor), 3)
    blocks = whole[: rows * divisor, : columns * divisor]
    means = blocks.reshape(rows, divisor, columns, divisor, 3).mean(axis=(1, 3))
    assert np.abs(reduced[:rows, :columns] - means).max() <= 5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_jpeg_is_turned_without_a_change(orientation: int) -> None:
    image = smooth("RGB").resize((387, 250))
    plain = images.decode(encoded(image, "JPEG"), least=(60, 60))
    assert plain.shape == (63, 97, 3)
    data = encoded(image, "JPEG", exif=oriented(orientation))
    assert np.array_equal(images.decode(data, least=(60, 60)), turned(plain, orientation))


@pytest.mark.parametrize(("orientation", "shape"), [(1, (200, 400, 3)), (6, (200, 100, 3))])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_the_least_height_is_that_of_the_upright_image(
    kind: str, orientation: int, shape: tuple[int, int, int]
) -> None:
    image = smooth("RGB").resize((400, 200))
    data = encoded(image, kind, exif=oriented(orientation))
    assert images.decode(data, least=(150, 50)).shape == shape


@pytest.mark.parametrize("kind", ["BMP", "PNG", "TIFF"])
def test_a_reduced_image_of_other_formats_has_the_means_of_blocks(
    kind: str, noise: Callable[..., Image]
) -> None:
    pixels = noise(40, 80)
    reduced = images.decode(encoded(PillowImage.fromarray(pixels), kind), least=(10, 10))
    means = pixels.reshape(10, 4, 20, 4, 3).mean(axis=(1, 3))
    assert np.abs(reduced - means).max() <= 0.51


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_an_image_below_twice_the_least_size_keeps_its_pixels(kind: str) -> None:
    data = encoded(smooth("RGB"), kind)
    assert np.array_equal(images.decode(data, least=(17, 25)), images.decode(data))


@pytest.mark.parametrize("divisor", [1, 2, 4, 8])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_a_truncated_jpeg_is_refused_at_every_reduction(
    divisor: int, share: float, noise: Callable[..., Image]
) -> None:
    data = encoded(PillowImage.fromarray(noise(160, 160)), "JPEG")
    least = (160 // divisor, 160 // divisor)
    with pytest.raises(BadImageError, match="truncated or damaged"):
        images.decode(data[: int(len(data) * share)], least=least)


def test_threads_that_decode_leave_the_filters_of_warnings() -> None:
    warns = tiff(8, 1, bytes([1, 2]), last=struct.pack("<HHII", 0x013B, 2, 99, 9999))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(images.decode, [warns] * 400))
        assert warnings.filters == before
    assert all(pixels[0, :, 0].tolist() == [1, 2] for pixels in found)
