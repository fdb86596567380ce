import io
from collections.abc import Callable

import cv2
import drawings
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

from seedlings import images
from seedlings.images import BadImageError

Image = NDArray[np.uint8]


def encoded(image: PillowImage.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_png_comes_back_as_rgb(noise: Callable[..., Image]) -> None:
    image = noise(30, 50)
    assert np.array_equal(images.decode(encoded(PillowImage.fromarray(image))), image)
    assert np.array_equal(images.decode(images.encode_png(image)), image)


def test_grey_becomes_three_equal_channels(noise: Callable[..., Image]) -> None:
    grey = noise()[..., 0]
    decoded = images.decode(encoded(PillowImage.fromarray(grey)))
    assert np.array_equal(decoded, np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_become_eight(channels: int, rng: np.random.Generator) -> None:
    deep = rng.integers(0, 65536, (20, 20, channels), dtype=np.uint16)
    data = cv2.imencode(".png", deep[..., ::-1])[1].tobytes()
    decoded = images.decode(data).astype(int)
    assert np.abs(decoded - deep / 257).max() <= 1.0


def test_a_palette_becomes_its_colours() -> None:
    image = PillowImage.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert images.decode(encoded(image)).tolist() == [[[10, 20, 30], [200, 100, 50]]]


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


def test_the_exif_turn_is_applied(noise: Callable[..., Image]) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    image = cv2.resize(noise(3, 5), (80, 48), interpolation=cv2.INTER_NEAREST)
    data = encoded(PillowImage.fromarray(image), "JPEG", quality=95, exif=exif)
    turned = images.decode(data).astype(int)
    assert turned.shape == (80, 48, 3)
    plain = images.decode(encoded(PillowImage.fromarray(image), "JPEG", quality=95))
    assert np.array_equal(turned, np.rot90(plain, -1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_image_is_refused(kind: str, noise: Callable[..., Image]) -> None:
    data = encoded(PillowImage.fromarray(noise()), kind)
    with pytest.raises(BadImageError, match="truncated or damaged|header is damaged"):
        images.decode(data[: len(data) // 2])


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
        images.decode(drawings.png_that_claims(side, side))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_and_an_exif_turn_go_together(kind: str) -> None:
    layers = np.full((20, 20, 4), 200, np.uint8)
    layers[..., 3] = 255
    layers[:5, :, 3] = 0
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(PillowImage.fromarray(layers), kind, exif=exif, **options)
    expected = np.rot90(layers[..., :1] * (layers[..., 3:] // 255), -1).repeat(3, axis=2)
    assert np.array_equal(images.decode(data), expected)


def test_resize_averages_what_it_shrinks() -> None:
    image = np.array([[[0, 0, 0], [100, 50, 10]], [[200, 50, 10], [100, 100, 20]]], np.uint8)
    assert images.resize(image, 1, 1).tolist() == [[[100, 50, 10]]]
    assert images.resize(image, 2, 2) is image
    assert images.resize(image, 7, 3).shape == (7, 3, 3)
