import base64
import io
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from jinja2 import UndefinedError
from numpy.typing import NDArray
from PIL import Image as PillowImage

from seedlings import images
from seedlings.report import html


def opened(address: str) -> PillowImage.Image:
    kind, _, data = address.partition(",")
    assert kind == "data:image/webp;base64"
    return PillowImage.open(io.BytesIO(base64.b64decode(data)))


def test_an_embedded_picture_is_the_picture(tmp_path: Path) -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, 30:] = (200, 30, 90)
    path = tmp_path / "a.png"
    path.write_bytes(images.encode_png(picture))
    [(name, address)] = html.embed([path], megabytes=1.0).items()
    assert name == path.as_posix()
    shown = np.asarray(opened(address).convert("RGB")).astype(int)
    assert shown.shape == picture.shape
    assert np.abs(shown - picture).mean() < 4
    assert html.embed([path], megabytes=1.0)[name] == address


def test_pictures_share_the_given_size(
    tmp_path: Path, noise: Callable[..., NDArray[np.uint8]]
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        path.write_bytes(images.encode_png(noise(500, 700)))
    addresses = html.embed(paths, megabytes=0.03)
    assert sum(map(len, addresses.values())) <= 30_000 * 1.01
    assert all(opened(address).size[0] >= 64 for address in addresses.values())


def test_a_picture_longer_than_webp_can_hold_is_made_smaller() -> None:
    shown = opened(html.data_address(np.zeros((20_000, 50, 3), np.uint8)))
    assert shown.size[1] == 4096


def test_names_are_text_and_never_markup(tmp_path: Path) -> None:
    class Scripts(HTMLParser):
        found = 0

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found += tag == "script"

    html.write(
        html.TEMPLATES / "page.html", {"title": "<script>alert(1)</script>"}, tmp_path / "p.html"
    )
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    parser = Scripts()
    parser.feed(text)
    assert parser.found == 0
    assert "&lt;script&gt;" in text


def test_a_missing_value_is_an_error_and_leaves_no_page(tmp_path: Path) -> None:
    with pytest.raises(UndefinedError, match="title"):
        html.write(html.TEMPLATES / "page.html", {}, tmp_path / "p.html")
    assert list(tmp_path.iterdir()) == []
