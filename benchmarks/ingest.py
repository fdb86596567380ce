"""Images/s of reading and hashing (split) and of cutting out (segment), beside plain loops.

One loop reads one image after the other with OpenCV and masks it with plain NumPy. Photographs of
12 megapixels are also read whole on one core, and with Pillow alone; small files, in a loop on one
core.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pandas as pd
from PIL import Image as PillowImage

from benchmarks import riemersma
from benchmarks.measure import (
    at_least,
    at_most,
    compare,
    in_turns,
    print_rates,
    seedlings,
    self_timed,
    speedup,
)
from seedlings import images, params, presets
from seedlings.config.reuse import Reuse
from seedlings.data import duplicates
from seedlings.io import parts, threads
from seedlings.io.files import remove
from seedlings.io.shards import Here
from seedlings.segmentation import cutouts, masks, preprocessing
from seedlings.segmentation.params import Segment

_SIDE, _RESIZED = 300, 150
_PHOTO = (3000, 4000)
_PHOTO_RESIZED = 224  # as in the preset folder


def main(*, small: bool) -> None:
    count, rounds = (24, 1) if small else (960, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = seedlings(count, _SIDE)
        table = _write(folder / "raw", map(images.encode_png, pictures), "png")
        actions: dict[str, Callable[[], object]] = {
            "plain loop": partial(_plain_loop, folder / "raw", table),
            "split: hashes": partial(_split, folder / "raw", table),
        }
        for method in masks.METHODS:
            actions[f"segment: {method}"] = partial(_segment, folder, table, _settings(method))
        times = in_turns(actions, rounds)
    print_rates(times, count)
    compare(times, "segment: color_distance", "plain loop", 1)
    compare(times, "split: hashes", "plain loop", 1)
    _small_files(count, rounds)
    _photographs(2 if small else 24, rounds)


def _small_files(count: int, rounds: int) -> None:
    """Compare the stages with a loop on one core, on PNG files of 150 x 150 pixels."""
    print()
    settings = _settings("excess_green")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoded = map(images.encode_png, seedlings(count, _RESIZED))
        table = _write(folder / "raw", encoded, "png")
        times = in_turns(
            {
                "split and segment": partial(_both, folder, table, settings),
                "whole files on one core": partial(_whole, folder / "raw", table, settings),
            },
            rounds,
        )
    print_rates(times, count)
    compare(times, "split and segment", "whole files on one core", 1)


def _photographs(count: int, rounds: int) -> None:
    """Print the processor time of a photograph in split and segment, and the gain of a core."""
    print(f"\n{count} photographs of {_PHOTO[1]} x {_PHOTO[0]} (JPEG)")
    settings = _settings("none", _PHOTO_RESIZED)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = _write(folder / "raw", _jpegs(count), "jpg")
        raw = folder / "raw"
        work: dict[str, Callable[[], object]] = {
            "split": partial(_split, raw, table),
            "segment": partial(_segment, folder, table, settings),
            "whole files on one core": partial(_whole, raw, table, settings),
            "Pillow: decode and resize": partial(_pillow, raw, table),
        }
        timed = {key: partial(_used, action) for key, action in work.items()}
        used = self_timed({**timed, "hash of reduced pixels": partial(_hash, raw, table)}, rounds)
        both = partial(_both, folder, table, settings)
        walls = in_turns(
            {"two cores": partial(_on, 2, both), "one core": partial(_on, 1, both)}, rounds
        )
    for key, seconds in used.items():
        print(f"{key:<34} {1000 * np.median(seconds) / count:>9.1f} ms of processor time an image")
    used["split and segment"] = used["split"] + used["segment"]
    print_rates(walls, count)
    milliseconds = 1000 * float(np.median(used["split and segment"])) / count
    at_most("split and segment", milliseconds, 100, "ms of processor time an image")
    for other in ("whole files on one core", "Pillow: decode and resize"):
        ratio = speedup(used, "split and segment", other)
        print(f"split and segment / {other}: {ratio:.2f} times")
    share = 100 * float(np.median(used["hash of reduced pixels"] / used["split and segment"]))
    at_most("share of the hash", share, 20, "%")
    if threads.cores() > 1:
        at_least("two cores / one core", speedup(walls, "two cores", "one core"), 1.8)


def _write(folder: Path, encoded: Iterable[bytes], ending: str) -> pd.DataFrame:
    folder.mkdir()
    rows = []
    for number, data in enumerate(encoded):
        (folder / f"{number}.{ending}").write_bytes(data)
        rows.append((f"{number}.{ending}", parts.digest(data)))
    return pd.DataFrame(rows, columns=["path", "digest"])


def _jpegs(count: int) -> Iterable[bytes]:
    """Yield photographs: images enlarged, with the noise of a sensor."""
    rng = np.random.default_rng(0)
    for image in seedlings(count, 600):
        large = cv2.resize(image, _PHOTO[::-1], interpolation=cv2.INTER_CUBIC)
        noise = rng.normal(0, 5, large.shape).astype(np.float32)
        photo = np.clip(large + noise, 0, 255).astype(np.uint8)
        yield cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def _settings(method: str, side: int = _RESIZED) -> Segment:
    changes = [f"segment.method={method}", f"segment.pixels=[{side},{side}]"]
    return params.check(presets.compose(["sample", *changes])).segment


def _plain_loop(folder: Path, table: pd.DataFrame) -> None:
    for name in table["path"]:
        image = cv2.cvtColor(cv2.imread(str(folder / name)), cv2.COLOR_BGR2RGB)
        riemersma.cut_out(cv2.resize(image, (_RESIZED, _RESIZED), interpolation=cv2.INTER_AREA))


def _split(folder: Path, table: pd.DataFrame) -> None:
    duplicates.fingerprint(folder, table[["path"]])


def _segment(folder: Path, table: pd.DataFrame, settings: Segment) -> None:
    remove(folder / "images")
    cutouts.make(folder / "raw", table, settings, folder / "images", engine=Here(), last=Reuse(""))


def _both(folder: Path, table: pd.DataFrame, settings: Segment) -> None:
    _split(folder / "raw", table)
    _segment(folder, table, settings)


def _whole(folder: Path, table: pd.DataFrame, settings: Segment) -> None:
    """Do what split and segment do, one file after the other, with all of its pixels."""
    for name in table["path"]:
        data = (folder / name).read_bytes()
        parts.digest(data)
        _hash_pixels(images.decode(data))
    for name in table["path"]:
        data = (folder / name).read_bytes()
        parts.digest(data)
        preprocessing.cut_out(images.decode(data), settings)


def _hash(folder: Path, table: pd.DataFrame) -> float:
    """Return the seconds of processor time of the hashes alone."""
    took = 0.0
    for name in table["path"]:
        image = images.read(folder / name, least=(256, 256))
        took += _used(partial(_hash_pixels, image))
    return took


def _hash_pixels(image: images.Image) -> None:
    hashlib.blake2b(image.tobytes(), digest_size=8).digest()
    imagehash.phash(PillowImage.fromarray(image))


def _pillow(folder: Path, table: pd.DataFrame) -> None:
    """Read and resize each file once, as torchvision's ImageFolder and Resize do."""
    for name in table["path"]:
        with PillowImage.open(folder / name) as image:
            whole = image.convert("RGB")
        whole.resize((_PHOTO_RESIZED, _PHOTO_RESIZED), PillowImage.Resampling.BILINEAR)


def _used(action: Callable[[], object]) -> float:
    """Return the seconds of processor time of an action."""
    start = time.process_time()
    action()
    return time.process_time() - start


def _on(cores: int, action: Callable[[], object]) -> None:
    """Run an action on some cores only; the threads that it starts are on the same ones."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:cores])
    try:
        action()
    finally:
        os.sched_setaffinity(0, allowed)
