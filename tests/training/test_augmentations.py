from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from seedlings.errors import SeedlingsError
from seedlings.params import check
from seedlings.training.augmentations import Augmentation


@pytest.fixture
def augmentation(tree: dict[str, Any]) -> Callable[..., Augmentation]:
    def make(window: tuple[int, int] | None = None, seed: int = 1, **changes: Any) -> Augmentation:
        if window:
            tree["extract"]["center_crop"] = list(window)
        tree["finetune"]["augment"].update(changes)
        return Augmentation(check(tree).finetune.augment, window, seed)

    return make


def many(augmentation: Augmentation, image: np.ndarray, count: int = 200) -> list[np.ndarray]:
    return [augmentation.one(image, np.random.default_rng(n)) for n in range(count)]


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_flips_are_exact_and_as_frequent_as_asked(
    augmentation: Callable[..., Augmentation], image: np.ndarray
) -> None:
    flipped = many(augmentation(flip_horizontal=0.5), image)
    right = sum(np.array_equal(one, image[:, ::-1]) for one in flipped)
    same = sum(np.array_equal(one, image) for one in flipped)
    assert right + same == 200
    assert 70 < right < 130
    upside_down = augmentation(flip_horizontal=0.0, flip_vertical=1.0)
    assert np.array_equal(many(upside_down, image)[0], image[::-1])


def test_alternating_flips_show_an_image_and_its_flip_in_turn(
    augmentation: Callable[..., Augmentation], rng: np.random.Generator
) -> None:
    images = rng.integers(0, 256, (40, 6, 8, 3), dtype=np.uint8)
    rows = np.arange(40)
    own = augmentation(flip_horizontal=0.5, alternating_flips=True)
    epochs = [own.batch(images, rows, epoch) for epoch in range(4)]
    mirrored = np.array([(batch == images[:, :, ::-1]).all(axis=(1, 2, 3)) for batch in epochs])
    same = np.array([(batch == images).all(axis=(1, 2, 3)) for batch in epochs])
    assert np.array_equal(mirrored, ~same)
    assert np.array_equal(mirrored[1:], same[:-1])
    assert 8 < mirrored[0].sum() < 32
    assert np.array_equal(own.batch(images[::-1], rows[::-1], 3), epochs[3][::-1])
    assert len({image.tobytes() for image in many(own, images[0])}) == 2
    both = augmentation(flip_vertical=0.5)
    for start in (0, 3):
        seen = [both.batch(images[:9], rows[:9], start + epoch) for epoch in range(4)]
        assert all(len({batch[n].tobytes() for batch in seen}) == 4 for n in range(9))
    vertical = augmentation(flip_horizontal=0.0, multiply=[0.5, 0.5])
    first, second = (vertical.batch(images, rows, epoch) for epoch in (0, 1))
    assert np.array_equal(second, first[:, ::-1])
    assert np.array_equal(first.max(axis=(1, 2, 3)), np.rint(images.max(axis=(1, 2, 3)) * 0.5))


@pytest.mark.parametrize(("horizontal", "vertical"), [(0.0, 0.0), (0.3, 0.5), (1.0, 0.0)])
def test_flips_that_cannot_alternate_are_refused(
    horizontal: float, vertical: float, augmentation: Callable[..., Augmentation]
) -> None:
    message = f"with alternating_flips, found {horizontal} and {vertical}"
    with pytest.raises(SeedlingsError, match=message):
        augmentation(flip_horizontal=horizontal, flip_vertical=vertical, alternating_flips=True)


def disc(height: int, width: int, x: float, y: float) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    cv2.circle(picture, (round(x), round(y)), 4, (255, 255, 255), -1)
    return picture


def place(picture: np.ndarray) -> np.ndarray:
    """Where a disc is, from the middle, in pixels: x, y."""
    y, x = np.nonzero(picture[:, :, 0] > 127)
    height, width = picture.shape[:2]
    return np.array([x.mean() - (width - 1) / 2, y.mean() - (height - 1) / 2])


def test_rotation_keeps_within_its_angle(augmentation: Callable[..., Augmentation]) -> None:
    picture = disc(101, 101, 90, 50)
    places = [place(one) for one in many(augmentation(rotation=30.0), picture)]
    angles = np.rad2deg([np.arctan2(y, x) for x, y in places])
    assert -31 < angles.min() < -27
    assert 27 < angles.max() < 31
    assert np.linalg.norm(places, axis=1) == pytest.approx(40.0, abs=0.7)


def test_shift_keeps_within_its_share(augmentation: Callable[..., Augmentation]) -> None:
    moved = np.array([place(o) for o in many(augmentation(shift=0.2), disc(101, 201, 100, 50))])
    assert 36 < np.abs(moved[:, 0]).max() < 41
    assert 17 < np.abs(moved[:, 1]).max() < 21


def test_zoom_and_shear_keep_within_their_shares(
    augmentation: Callable[..., Augmentation],
) -> None:
    far = disc(101, 101, 80, 50)
    zoomed = [place(one)[0] for one in many(augmentation(zoom=0.1), far)]
    assert 26.5 < min(zoomed) < 28
    assert 32 < max(zoomed) < 33.5
    low = disc(101, 101, 50, 80)
    sheared = [place(one)[0] for one in many(augmentation(shear=0.2, zoom=0.0), low)]
    assert 5 < max(np.abs(sheared)) < 6.6


def test_colours_change_by_the_factors_asked(augmentation: Callable[..., Augmentation]) -> None:
    grey = np.full((8, 8, 3), 100, np.uint8)
    brighter = [one[0, 0] for one in many(augmentation(multiply=[0.8, 1.2]), grey)]
    assert 80 <= np.min(brighter) < 83
    assert 117 < np.max(brighter) <= 120
    assert all(len(set(pixel.tolist())) == 1 for pixel in brighter)
    tinted = many(augmentation(multiply=[0.8, 1.2], multiply_per_channel=1.0), grey)
    assert any(len(set(one[0, 0].tolist())) == 3 for one in tinted)
    contrast = augmentation(multiply=[1.0, 1.0], contrast=[0.5, 1.5])
    assert {int(one[0, 0, 0]) for one in many(contrast, np.full_like(grey, 128))} == {128}
    assert 86 <= min(one[0, 0, 0] for one in many(contrast, grey)) < 90


def test_noise_has_the_deviation_asked(augmentation: Callable[..., Augmentation]) -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    deviations = [one.astype(float).std() for one in many(augmentation(noise=0.05), grey)]
    assert max(deviations) == pytest.approx(0.05 * 255, rel=0.08)
    shared = many(augmentation(noise_per_channel=0.0), grey)[0]
    assert np.array_equal(shared[..., 0], shared[..., 1])
    own = many(augmentation(noise_per_channel=1.0), grey)[0]
    assert not np.array_equal(own[..., 0], own[..., 1])


def test_blur_comes_as_often_as_asked(
    augmentation: Callable[..., Augmentation], image: np.ndarray
) -> None:
    blurred = many(augmentation(blur=2.0, blur_probability=0.5), image)
    assert 70 < sum(not np.array_equal(one, image) for one in blurred) < 130


def test_crop_keeps_the_size_and_cuts_no_more_than_asked(
    augmentation: Callable[..., Augmentation],
) -> None:
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 100, axis=0).repeat(3, axis=2)
    cropped = many(augmentation(crop=0.1), ramp)
    assert all(one.shape == ramp.shape for one in cropped)
    assert 16 < max(one[0, 0, 0] for one in cropped) <= 20
    assert 179 <= min(one[0, -1, 0] for one in cropped) < 184


def test_a_random_crop_is_what_the_centre_crop_takes(
    augmentation: Callable[..., Augmentation], image: np.ndarray
) -> None:
    taken = [one[5:15, 5:25] for one in many(augmentation((10, 20), random_crop=True), image)]
    windows = {
        (top, left): image[top : top + 10, left : left + 20].tobytes()
        for top in range(11)
        for left in range(11)
    }
    assert all(one.tobytes() in windows.values() for one in taken)
    assert len({one.tobytes() for one in taken}) > 50


def test_the_same_seed_gives_the_same_images_in_any_order(
    augmentation: Callable[..., Augmentation], rng: np.random.Generator
) -> None:
    images = rng.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    changes = {"rotation": 90.0, "noise": 0.1, "contrast": [0.5, 1.5], "random_order": True}
    first, again = augmentation(**changes), augmentation(**changes)
    rows = np.arange(4)
    whole = first.batch(images, rows, epoch=3)
    assert np.array_equal(again.batch(images[::-1], rows[::-1], epoch=3), whole[::-1])
    assert not np.array_equal(first.batch(images, rows, epoch=4), whole)
    assert not np.array_equal(augmentation(seed=2).batch(images, rows, epoch=3), whole)


def test_the_order_of_the_steps_is_random_if_asked(
    augmentation: Callable[..., Augmentation],
) -> None:
    grey = np.full((4, 4, 3), 100, np.uint8)
    changes = {"contrast": [2.0, 2.0], "multiply": [0.5, 0.5]}
    assert {int(o[0, 0, 0]) for o in many(augmentation(**changes), grey)} == {36}
    both = {int(o[0, 0, 0]) for o in many(augmentation(random_order=True), grey)}
    assert both == {36, 0}  # (100 - 128) * 2 + 128 = 72, halved; or 50 first, then below 0
