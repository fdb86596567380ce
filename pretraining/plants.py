"""Images of plants by formula, with as little work per image as a large training set needs.

The leaves, colours and grounds are those of the sample (seedlings/data/sample.py). Plants are drawn
at the size of the image, with OpenCV's antialiasing, and the ground is a part of one of a few large
ones.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from seedlings.data import sample
from seedlings.data.sample import Species
from species import Form

Pixels = NDArray[np.uint8]

_SHIFT = 4  # OpenCV's fractional bits
_YOUNG = 0.3  # share of the plants that have seed leaves only


def draw_grounds(count: int, *, size: int, seed: int) -> Pixels:
    """Return `count` grounds (count x size x size x 3, RGB uint8) without light."""
    grounds = [
        np.clip(sample.draw_ground(size, np.random.default_rng([seed, 1, number])), 0.0, 1.0)
        for number in range(count)
    ]
    return np.round(np.stack(grounds) * 255.0).astype(np.uint8)


def draw(
    form: Form, grounds: Pixels, *, size: int, rng: np.random.Generator
) -> tuple[Pixels, NDArray[np.float32]]:
    """Return a plant on the ground with its mask, and the three numbers of `_draw_plant`.

    The image is size x size x 4: RGB, and 255 for the plant, else 0, uint8.
    """
    plant, numbers = _draw_plant(form, size, rng)
    alpha = plant[..., 3:].astype(np.float32) / 255.0
    ground = _part(grounds[rng.integers(len(grounds))], size, rng).astype(np.float32)
    shadow = _shadow(alpha[..., 0], rng)
    view = ground * (1.0 - 0.45 * shadow[..., None]) * (1.0 - alpha) + plant[..., :3]
    view = view * _light(size, rng)
    view = cv2.GaussianBlur(view, (0, 0), rng.uniform(0.3, 0.8))
    view += rng.normal(0.0, rng.uniform(1.0, 4.0), (size, size, 1)).astype(np.float32)
    seen = np.clip(np.round(view), 0, 255).astype(np.uint8)
    mask = np.where(alpha > 0.5, 255, 0).astype(np.uint8)
    return np.concatenate([seen, mask], axis=2), numbers


def _draw_plant(
    form: Form, size: int, rng: np.random.Generator
) -> tuple[Pixels, NDArray[np.float32]]:
    """Return a plant on black: size x size x 4, RGB times its share of the pixel, and that share.

    The second value has whether it has seed leaves only, its number of leaves / 4, and the natural
    logarithm of its radius relative to `size`.
    """
    canvas = np.zeros((size, size, 4), np.uint8)
    reach = size * np.exp(rng.uniform(*np.log((0.22, 0.75))))
    centre = size * (0.5 + rng.uniform(-0.12, 0.12, 2))
    turn = rng.uniform(0.0, 2.0 * np.pi)
    green = sample.leaf_colour(rng)
    species, young = form.species, rng.random() < _YOUNG
    leaves = []
    if species.cotyledons:
        length = reach * (rng.uniform(0.7, 1.0) if young else species.cotyledons)
        for side in (np.pi / 2, -np.pi / 2):
            leaves.append((form.seed_leaf, length, turn + side + rng.normal(0.0, 0.15)))
    if not (species.cotyledons and young):
        count = int(rng.integers(species.leaves[0], species.leaves[1] + 1))
        for angle, share in sample.leaf_places(species.arrangement, count, rng):
            leaves.append((species, reach * share, turn + angle))
    for shape, length, angle in leaves:
        _draw_leaf(canvas, shape, base=centre, length=length, angle=angle, green=green, rng=rng)
    only_seed_leaves = bool(species.cotyledons) and young
    return canvas, np.array([only_seed_leaves, len(leaves) / 4, np.log(reach / size)], np.float32)


def _draw_leaf(
    canvas: Pixels,
    shape: Species,
    *,
    base: NDArray[np.float64],
    length: float,
    angle: float,
    green: NDArray[np.floating],
    rng: np.random.Generator,
) -> None:
    """Draw a leaf with its midrib into the canvas, in place."""
    bend = shape.bend * rng.normal()
    midrib, blade = sample.leaf_outline(shape, rng)
    points = np.concatenate([midrib, blade])
    x, y = points[:, 0], points[:, 1] + bend * points[:, 0] ** 2
    cos, sin = length * np.cos(angle), length * np.sin(angle)
    placed = np.stack([x * cos - y * sin, x * sin + y * cos], axis=1) + base
    fixed = np.round(placed * (1 << _SHIFT)).astype(np.int32)
    rib, outline = fixed[: len(midrib)], fixed[len(midrib) :]
    colour = green * (255.0 * rng.uniform(0.85, 1.15))
    thickness = max(1, round(length * 0.018))
    dark, bright = _opaque(colour), _opaque(colour * 1.18 + 8.0)
    cv2.polylines(canvas, [rib], False, dark, thickness, cv2.LINE_AA, _SHIFT)
    cv2.fillPoly(canvas, [outline], dark, cv2.LINE_AA, _SHIFT)
    cv2.polylines(canvas, [rib], False, bright, thickness, cv2.LINE_AA, _SHIFT)


def _opaque(colour: NDArray[np.floating]) -> tuple[float, ...]:
    return (*np.minimum(colour, 255.0).tolist(), 255.0)


def _part(ground: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """Return a random square part of a ground, resized."""
    side = int(rng.integers(size, len(ground) + 1))
    top, left = rng.integers(0, len(ground) - side + 1, 2)
    part = ground[top : top + side, left : left + side]
    return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA)


def _shadow(alpha: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    down, right = np.round(len(alpha) * rng.uniform(-0.03, 0.03, 2)).astype(int)
    moved = np.roll(alpha, (down, right), axis=(0, 1))
    return cv2.GaussianBlur(moved, (0, 0), len(alpha) * 0.012)


def _light(size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the factors of uneven, slightly tinted light: size x size x 3."""
    slope = rng.normal(0.0, 0.18, 2)
    along = np.linspace(-0.5, 0.5, size)
    level = 1.0 + slope[0] * along[None, :] + slope[1] * along[:, None]
    light = rng.uniform(0.65, 1.35) * level[..., None] * rng.normal(1.0, 0.04, 3)
    return light.astype(np.float32)
