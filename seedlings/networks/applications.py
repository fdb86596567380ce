"""Applications: the networks that can be a backbone, with their preprocessing and their weights.

One entry a network. The networks of keras.applications need none: Keras has all that an entry says.
The parameters are checked against the entries, so Keras is imported only to build a network.
"""

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedlings.errors import SeedlingsError

if TYPE_CHECKING:
    from seedlings.networks.runtime import keras

Shape = tuple[int, int, int]  # height, width and channels of the images


@dataclass(frozen=True, slots=True)
class Weights:
    """Pretrained weights: a path or URL of a .h5 file and its checksum.

    Without a file, the network's `build` loads them.
    """

    file: str | None = None
    checksum: str | None = None  # such as sha256:0123...
    width: float = 1.0  # of the network that has them


@dataclass(frozen=True, slots=True)
class Application:
    """A network that can be a backbone, without its top.

    `build(shape, width, weights)` returns it for images of a shape; `weights` is the name of those
    that it loads itself, or None. It raises ValueError for images that are too small.
    `preprocess(images)` maps images (N x H x W x 3, RGB, 0 to 255, float32) to its input.
    """

    build: Callable[[Shape, float, str | None], "keras.Model"]
    preprocess: Callable[[Any], Any]
    weights: Mapping[str, Weights] = field(default_factory=dict)
    has_widths: bool = False  # whether its layers can have a share of their filters
    cut: str | None = None  # the default of extract.cut; None: its last layer


def find(name: str) -> Application:
    """Return the entry of a network; without an own entry, it is one of keras.applications."""
    return APPLICATIONS.get(name) or _of_keras(name)


def _of_keras(name: str) -> Application:
    """Return the entry of a network of keras.applications, which `build` raises for if unknown."""

    def build(shape: Shape, _width: float, weights: str | None) -> "keras.Model":
        return _function(name)(include_top=False, weights=weights, input_shape=shape)

    def preprocess(images: Any) -> Any:
        return importlib.import_module(_function(name).__module__).preprocess_input(images)

    return Application(build, preprocess, {"imagenet": Weights()})


def _function(name: str) -> Callable[..., "keras.Model"]:
    """Return the function of keras.applications that builds a network."""
    from seedlings.networks.runtime import keras

    names = [member for member in dir(keras.applications) if member[0].isupper()]
    if name not in names:
        names += APPLICATIONS
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
        raise SeedlingsError(
            f"extract.backbone: expected a network of keras.applications, found {name!r}; "
            f"similar names are {', '.join(close)}"
        )
    return getattr(keras.applications, name)


def _vgg16(shape: Shape, width: float, weights: str | None) -> "keras.Model":
    from seedlings.networks import vgg16

    return (
        _of_keras("VGG16").build(shape, width, weights)
        if width == 1.0
        else vgg16.build(shape, width)
    )


APPLICATIONS = {
    "VGG16": Application(
        build=_vgg16,
        preprocess=_of_keras("VGG16").preprocess,
        weights={
            "imagenet": Weights(),
            "synthetic": Weights(  # made by the project in pretraining/
                file=str(Path(__file__).parent / "weights" / "vgg16_quarter.weights.h5"),
                checksum="sha256:0e90d8aa84395189c6eacf54871611c141d5725af5b7cfcb5f889c1a925b36a3",
                width=0.25,
            ),
        },
        has_widths=True,
    ),
}
