"""The sample data set: images of seedlings of twelve species, drawn from a seed.

The species differ in the shape, number, stalks and arrangement of the leaves, like the real
species. Colour, light, ground, position, size and rotation carry no information about the species:
they have the same distributions for all twelve. As in the real data set, some images are near
duplicates: they show the plant of another image again.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Floats = NDArray[np.floating]

_SHIFT = 4  # OpenCV's fractional bits: outlines have a precision of 1/16 pixel
_SUPERSAMPLING = 2
_AGAIN_EVERY = 20


@dataclass(frozen=True, slots=True)
class Species:
    """The shape of the seedlings of one species. Lengths are relative to the plant's radius."""

    name: str
    leaves: tuple[int, int]
    arrangement: str  # "opposite", "rosette", "whorl" or "fan"
    aspect: float  # greatest width over length
    widest: float  # where along the leaf it is widest: 0 base, 1 tip
    stalk: float = 0.0  # bare stalk, as a share of the leaf's length
    lobes: int = 0
    depth: float = 0.0  # how deep the lobes are cut: 0 entire, 1 down to the midrib
    bend: float = 0.1  # sideways bend of the tip, as a share of the length
    cotyledons: float = 0.0  # length of a pair of seed leaves; 0 for grasses


SPECIES = (
    Species("Black-grass", (1, 3), "fan", 0.045, 0.3, bend=0.12),
    Species("Charlock", (2, 4), "opposite", 0.62, 0.6, 0.35, 5, 0.25, 0.08, 0.38),
    Species("Cleavers", (5, 7), "whorl", 0.26, 0.6, 0.0, cotyledons=0.75),
    Species("Common Chickweed", (4, 6), "opposite", 0.55, 0.42, 0.5, cotyledons=0.3),
    Species("Common wheat", (2, 3), "fan", 0.085, 0.35, bend=0.2),
    Species("Fat Hen", (4, 6), "opposite", 0.42, 0.45, 0.15, 7, 0.3, 0.05, 0.45),
    Species("Loose Silky-bent", (4, 7), "fan", 0.03, 0.25, bend=0.45),
    Species("Maize", (2, 4), "fan", 0.19, 0.45, bend=0.35),
    Species("Scentless Mayweed", (4, 7), "rosette", 0.4, 0.6, 0.15, 8, 0.92, 0.1, 0.2),
    Species("Shepherd’s Purse", (6, 9), "rosette", 0.34, 0.68, 0.25, 5, 0.45, 0.08, 0.18),
    Species("Small-flowered Cranesbill", (3, 5), "rosette", 1.05, 0.55, 0.55, 3, 0.5, 0.05, 0.4),
    Species("Sugar beet", (2, 4), "opposite", 0.4, 0.55, 0.12, bend=0.2, cotyledons=0.85),
)


def draw_numbered(species: int, number: int, *, seed: int, size: int) -> tuple[Image, Mask]:
    """Return image `number` of a species (its index in SPECIES), and its mask; see `draw`.

    An image depends only on its arguments, not on the number of images. Every twentieth image is a
    near duplicate of the image before it.
    """
    again = number % _AGAIN_EVERY == _AGAIN_EVERY - 1
    scene = np.random.default_rng([seed, species, number - again])
    camera = np.random.default_rng([seed, species, number, 1])
    return draw(SPECIES[species], scene, camera, size)


def draw(
    species: Species, scene: np.random.Generator, camera: np.random.Generator, size: int = 150
) -> tuple[Image, Mask]:
    """Return an image of one seedling (size x size x 3, RGB uint8), and the mask of the plant.

    The mask is size x size, bool, True for the plant. `scene` generates the plant, the ground and
    the light, `camera` the blur and the noise. Equal generator states give equal bytes.
    """
    canvas = size * _SUPERSAMPLING
    ground = draw_ground(canvas, scene)
    plant, cover = _draw_plant(species, canvas, scene)
    shadow = _shadow_of(cover, scene)
    view = ground * (1.0 - 0.45 * shadow[..., None])
    view = view * (1.0 - cover[..., None]) + plant * cover[..., None]
    small = cv2.resize(view, (size, size), interpolation=cv2.INTER_AREA)
    mask = cv2.resize(cover, (size, size), interpolation=cv2.INTER_AREA) > 0.5
    return _photograph(_light(small, scene), camera), mask


def _draw_plant(
    species: Species, canvas: int, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.float32]]:
    colours = np.zeros((canvas, canvas, 3), np.float32)
    layers = colours, np.zeros((canvas, canvas), np.float32)
    centre = canvas * rng.uniform(0.36, 0.64, 2)
    reach = canvas * rng.uniform(0.24, 0.46)
    turn = rng.uniform(0.0, 2.0 * np.pi)
    green = leaf_colour(rng)
    if species.cotyledons:
        seed_leaf = Species("", (2, 2), "opposite", 0.45, 0.6, 0.3, bend=0.05)
        for angle in (turn + np.pi / 2, turn - np.pi / 2):
            angle += rng.normal(0.0, 0.12)
            length = reach * species.cotyledons
            _draw_leaf(
                layers, seed_leaf, base=centre, length=length, angle=angle, green=green, rng=rng
            )
    count = int(rng.integers(species.leaves[0], species.leaves[1] + 1))
    for angle, share in leaf_places(species.arrangement, count, rng):
        length = reach * share
        _draw_leaf(
            layers, species, base=centre, length=length, angle=turn + angle, green=green, rng=rng
        )
    return layers


def leaf_places(
    arrangement: str, count: int, rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Return the angle (radians) and the relative length of each leaf."""
    index = np.arange(count)
    if arrangement == "fan":
        angles = np.pi * index + rng.normal(0.0, 0.55, count)
        lengths = 1.0 - 0.12 * index
    elif arrangement == "opposite":
        angles = np.pi * index + np.pi / 2 * (index // 2 % 2) + rng.normal(0.0, 0.15, count)
        lengths = 1.0 - 0.22 * (index // 2)
    elif arrangement == "whorl":
        angles = 2 * np.pi * index / count + rng.normal(0.0, 0.08, count)
        lengths = np.full(count, 0.72)
    else:  # in a rosette, the golden angle separates successive leaves
        angles = 2.399963 * index + rng.normal(0.0, 0.12, count)
        lengths = 1.0 - 0.05 * index
    lengths = np.maximum(lengths, 0.3) * rng.uniform(0.82, 1.0, count)
    return list(zip(angles.tolist(), lengths.tolist(), strict=True))


def _draw_leaf(
    layers: tuple[Floats, Floats],
    shape: Species,
    *,
    base: Floats,
    length: float,
    angle: float,
    green: Floats,
    rng: np.random.Generator,
) -> None:
    """Draw a leaf with its stalk and midrib into the layers of colour and cover, in place."""
    bend = shape.bend * rng.normal(0.0, 1.0)
    midrib, blade = leaf_outline(shape, rng)
    scale = np.array([length, length])

    def place(points: Floats) -> NDArray[np.int32]:
        bent = points + np.stack([np.zeros(len(points)), bend * points[:, 0] ** 2], axis=1)
        cos, sin = np.cos(angle), np.sin(angle)
        turned = (bent * scale) @ np.array([[cos, sin], [-sin, cos]]) + base
        return np.round(turned * (1 << _SHIFT)).astype(np.int32)

    colour = np.clip(green * rng.uniform(0.85, 1.15), 0.0, 1.0)
    thickness = max(1, round(length * 0.018))
    line = {"lineType": cv2.LINE_AA, "shift": _SHIFT}
    for layer, blade_colour, rib_colour in (
        (layers[0], colour.tolist(), np.clip(colour * 1.18 + 0.03, 0, 1).tolist()),
        (layers[1], 1.0, 1.0),
    ):
        cv2.polylines(layer, [place(midrib)], False, blade_colour, thickness + 1, **line)
        cv2.fillPoly(layer, [place(blade)], blade_colour, **line)
        cv2.polylines(layer, [place(midrib)], False, rib_colour, thickness, **line)


def leaf_outline(shape: Species, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the midrib and the closed outline of a leaf of length 1 in the direction of x."""
    along = np.linspace(0.0, 1.0, 60)
    peak = shape.widest
    rise, fall = 2.0 * peak, 2.0 * (1.0 - peak)
    profile = along**rise * (1.0 - along) ** fall
    half = 0.5 * shape.aspect * profile / (peak**rise * (1.0 - peak) ** fall)
    if shape.lobes:
        wave = 0.5 - 0.5 * np.cos(2.0 * np.pi * shape.lobes * along)
        half = half * (1.0 - shape.depth * rng.uniform(0.85, 1.0) * (1.0 - wave))
    half = half * rng.uniform(0.85, 1.15)
    x = shape.stalk + (1.0 - shape.stalk) * along
    outline = np.concatenate([np.stack([x, half], 1), np.stack([x, -half], 1)[::-1]])
    rib = np.stack([np.linspace(0.0, 0.95, 20), np.zeros(20)], axis=1)
    return rib, outline


def leaf_colour(rng: np.random.Generator) -> Floats:
    """Return a green (RGB, 0..1), from the same distribution for every species."""
    hue, saturation, value = rng.uniform(38, 66), rng.uniform(0.35, 0.75), rng.uniform(0.35, 0.75)
    pixel = np.array([[[hue * 2, saturation, value]]], np.float32)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]


def _shadow_of(cover: NDArray[np.float32], rng: np.random.Generator) -> Floats:
    offset = cover.shape[0] * rng.uniform(-0.03, 0.03, 2)
    move = np.array([[1, 0, offset[0]], [0, 1, offset[1]]], np.float32)
    shifted = cv2.warpAffine(cover, move, cover.shape[::-1])
    return cv2.GaussianBlur(shifted, (0, 0), cover.shape[0] * 0.012)


def draw_ground(canvas: int, rng: np.random.Generator) -> Floats:
    """Return soil, gravel or a tray: canvas x canvas x 3, RGB, 0..1."""
    kind = rng.integers(3)
    if kind == 0:
        return _draw_soil(canvas, rng)
    if kind == 1:
        return _draw_gravel(canvas, rng)
    return _draw_tray(canvas, rng)


def _draw_soil(canvas: int, rng: np.random.Generator) -> Floats:
    brown = np.array([0.42, 0.32, 0.24]) * rng.uniform(0.6, 1.25) + rng.normal(0, 0.02, 3)
    texture = _clouds(canvas, rng, scales=(4, 12, 40, 120))
    return (brown * (1.0 + 0.9 * texture[..., None])).astype(np.float32)


def _draw_gravel(canvas: int, rng: np.random.Generator) -> Floats:
    ground = _draw_soil(canvas, rng) * 0.6
    tint = np.array([0.58, 0.56, 0.54]) + rng.normal(0, 0.02, 3)
    for _ in range(int(rng.integers(250, 450))):
        centre = rng.integers(0, canvas, 2).tolist()
        axes = (canvas * rng.uniform(0.012, 0.045, 2)).astype(int).tolist()
        stone = np.clip(tint * rng.uniform(0.5, 1.35) + rng.normal(0, 0.015, 3), 0, 1).tolist()
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(ground, centre, axes, turn, 0, 360, stone, -1, cv2.LINE_AA)
    return ground * (1.0 + 0.25 * _clouds(canvas, rng, scales=(40, 120))[..., None])


def _draw_tray(canvas: int, rng: np.random.Generator) -> Floats:
    """Return a pot of soil in a tray of dark or light plastic, whose rim may be visible."""
    ground = _draw_soil(canvas, rng)
    plastic = np.full(3, rng.choice([0.12, 0.75])) + rng.normal(0, 0.03, 3)
    middle = canvas * (0.5 + rng.uniform(-0.08, 0.08, 2))
    width = canvas * rng.uniform(0.8, 1.1)
    pot = cv2.boxPoints((middle.tolist(), [width, width], float(rng.uniform(-12, 12))))
    inside = np.zeros((canvas, canvas), np.float32)
    cv2.fillPoly(inside, [pot.astype(np.int32)], 1.0, cv2.LINE_AA)
    inside = cv2.GaussianBlur(inside, (0, 0), canvas * 0.004)[..., None]
    rim = plastic * (1.0 + 0.1 * _clouds(canvas, rng, scales=(3, 9))[..., None])
    return (ground * inside + rim * (1.0 - inside)).astype(np.float32)


def _clouds(canvas: int, rng: np.random.Generator, *, scales: tuple[int, ...]) -> Floats:
    """Return smooth noise with mean 0: the sum of enlarged grids of random values."""
    total = np.zeros((canvas, canvas), np.float32)
    for scale in scales:
        grid = rng.normal(0.0, 1.0, (scale, scale)).astype(np.float32)
        total += cv2.resize(grid, (canvas, canvas), interpolation=cv2.INTER_LINEAR)
    return total / (3.0 * np.sqrt(len(scales)))


def _light(view: Floats, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the scene under uneven, slightly tinted light."""
    size = view.shape[0]
    slope = rng.normal(0.0, 0.18, 2)
    y, x = np.mgrid[-0.5 : 0.5 : size * 1j, -0.5 : 0.5 : size * 1j]
    light = rng.uniform(0.65, 1.35) * (1.0 + slope[0] * x + slope[1] * y)
    tint = rng.normal(1.0, 0.04, 3)
    return (view * light[..., None] * tint).astype(np.float32)


def _photograph(view: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """Return the scene with blur and noise, as uint8."""
    seen = cv2.GaussianBlur(view, (0, 0), rng.uniform(0.3, 0.9))
    noisy = seen + rng.normal(0.0, rng.uniform(0.005, 0.02), seen.shape)
    return np.clip(np.round(noisy * 255.0), 0, 255).astype(np.uint8)
