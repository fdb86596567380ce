"""KerasHub: its presets of image networks as backbones, from a hub or a folder.

KerasHub is an optional package, which is imported only where a preset, or a model with one, needs
it. A preset is `dinov2_small`, `hf://...`, `kaggle://...`, or a folder, which has a slash.
"""

import difflib
import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seedlings.errors import SeedlingsError

if TYPE_CHECKING:
    from seedlings.networks.runtime import keras

PREFIX = "hub:"
PACKAGE = "keras-hub"
# The version in requirements-hub.lock. It is code, and so a dependency of the stages: another
# version can compute other features.
VERSION = "0.32.0"
PATCHES = "patches"  # the layer that returns the tokens of the patches as maps
_REGISTERED = "keras_hub>"  # how model.json names the layers of KerasHub


def library() -> Any:
    """Return the module keras_hub, which registers its layers for loading.

    Raises SeedlingsError if it is absent or has another version.
    """
    from seedlings.networks import runtime  # noqa: F401  # prepares Keras first

    try:
        import keras_hub
    except ImportError as error:
        raise SeedlingsError(
            f"expected the package {PACKAGE} {VERSION}, for a network of KerasHub, found none "
            f"({error}); `make .venv/hub` installs requirements-hub.lock"
        ) from error
    if keras_hub.__version__ != VERSION:
        raise SeedlingsError(
            f"expected the package {PACKAGE} {VERSION}, found {keras_hub.__version__}, which can "
            "compute other features; `make .venv/hub` installs requirements-hub.lock"
        )
    return keras_hub


def is_in(architecture: str) -> bool:
    """Return whether the architecture of a saved model (JSON) has layers of KerasHub."""
    return _REGISTERED in architecture


def folder(preset: str) -> Path | None:
    """Return the folder of a preset, or None if it is in a hub."""
    return Path(preset) if "/" in preset and "://" not in preset else None


def verify(preset: str, checksum: str) -> None:
    """Compare a folder with its checksum (`algorithm:hex`, or plain hex for sha256).

    It is the checksum of what `sha256sum` prints for the files, sorted by their paths in bytes, so
    that a command can give it, on any machine (docs/backbones.md). Raises SeedlingsError if the
    folder is no preset, or has another checksum.
    """
    root = Path(preset)
    if not (root / "config.json").is_file():
        raise SeedlingsError(
            f"extract.backbone: expected a preset of KerasHub in the folder {root}, found none, as "
            "it has no config.json; the path may be wrong (a relative one starts at the project)"
        )
    algorithm, _, expected = checksum.rpartition(":")
    found = _digest(root, algorithm or "sha256")
    if found.lower() != expected.lower():
        raise SeedlingsError(
            f"extract.checksum: expected {checksum} of the files in {root}, found {found}; a file "
            "is damaged, added or missing, or it is another preset"
        )


def build(preset: str, shape: tuple[int, int, int], *, pretrained: bool) -> "keras.Model":
    """Return the network of a preset: images (N x height x width x 3) to maps (N x h x w x C).

    The network is one layer. The tokens of the patches are returned as maps by the layer `patches`,
    without those that have no place: of the class, of registers and of distillation. The weights
    are random unless `pretrained`.

    Raises SeedlingsError if the preset is absent, cannot be downloaded, is of another kind of
    network, or does not take images of the shape.
    """
    from seedlings.networks.runtime import keras

    models = library().models
    size = _converter(preset).image_size
    try:
        with _quietly():
            network = models.Backbone.from_preset(
                preset, load_weights=pretrained, image_shape=tuple(shape)
            )
    except (ValueError, TypeError) as error:
        own = f" ({size[0]} x {size[1]})" if size else ""
        raise SeedlingsError(
            f"extract.backbone: expected a network for images of {shape[0]} x {shape[1]} "
            f"(segment.pixels), found that {preset} is not ({_line(error)}); it may take only "
            f"images of its own size{own}, squares, or multiples of its patches"
        ) from error
    except Exception as error:
        raise _absent(preset, error) from error
    if len(network.inputs) != 1 or not isinstance(network.output, keras.KerasTensor):
        raise SeedlingsError(
            f"extract.backbone: expected a network with one input and one output, found {preset}, "
            f"a {type(network).__name__} with {len(network.inputs)} and {len(network.outputs)}"
        )
    images = keras.Input(shape, name="images")
    named = isinstance(network.input, dict)
    outputs = network(dict.fromkeys(network.input, images) if named else images)
    if len(outputs.shape) == 3:
        outputs = _maps(network, outputs, shape, preset)
    else:
        outputs = keras.layers.Identity(name="maps")(outputs)  # a layer that can be the last one
    return keras.Model(images, outputs)


def preprocess(preset: str, images: Any) -> Any:
    """Return images (0 to 255, float32) with the scale and the offset of a preset."""
    from seedlings.networks.runtime import keras

    converter = _converter(preset)
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return keras.layers.Rescaling(scale, offset, name="rescaling")(images)


def freeze_embeddings(layer: "keras.layers.Layer") -> None:
    """Freeze what DINOv2 and DINOv3 cannot learn here: the embeddings of positions and the mask.

    KerasHub saves those of positions at another size, and changes whose sum is negative not at all,
    so a saved model would be another one. No image is masked.
    """
    for name in ("interpolated_position_embeddings", "mask_token"):
        weight = getattr(layer, name, None)
        if weight is not None:
            weight.trainable = False


def _converter(preset: str) -> Any:
    """Return the ImageConverter of a preset. Raises SeedlingsError if it has none."""
    hub = library()
    names = hub.models.Backbone.presets
    if "/" not in preset and preset not in names:
        close = difflib.get_close_matches(preset, names, n=3, cutoff=0.4)
        similar = f"similar names are {', '.join(close)}; " if close else ""
        raise SeedlingsError(
            f"extract.backbone: expected the name of a preset of KerasHub {VERSION}, found "
            f"{preset!r}; {similar}a folder is written as hub:./{preset}"
        )
    try:
        converter = hub.layers.ImageConverter.from_preset(preset)
    except Exception as error:
        raise _absent(preset, error) from error
    if converter is None:
        raise _absent(preset, ValueError("its files do not say how images are scaled"))
    return converter


def _absent(preset: str, error: Exception) -> SeedlingsError:
    cause = (
        "the folder may be incomplete, have a preset of texts, or lack its image converter"
        if folder(preset)
        else "there may be no network, no such preset, no right to read it, or no images in it. On "
        "a machine without a network, use a folder: hub:PATH (docs/backbones.md)"
    )
    return SeedlingsError(
        f"extract.backbone: expected a preset of an image network and its image converter at "
        f"{preset}, found none ({_line(error)}); {cause}"
    )


def _maps(network: Any, tokens: Any, shape: tuple[int, int, int], preset: str) -> Any:
    """Return the tokens of the patches (N x T x C) at their places (N x h x w x C)."""
    from seedlings.networks.runtime import keras

    stride = 1
    match type(network).__name__:
        case "DINOV2Backbone" | "DINOV3Backbone":
            others = 1 + network.num_register_tokens
        case "ViTBackbone":
            others = int(network.use_class_token)
        case "DeiTBackbone":
            others = 2  # of the class and of distillation
        case "SwinTransformerBackbone":
            others, stride = 0, 2 ** (len(network.depths) - 1)
        case other:
            raise SeedlingsError(
                "extract.backbone: expected a network with maps, or a DINOv2, DINOv3, ViT, DeiT or "
                f"Swin with tokens, found {preset}, a {other} with tokens"
            )
    patch = network.patch_size
    high, wide = patch if isinstance(patch, tuple | list) else (patch, patch)
    places = (shape[0] // (high * stride), shape[1] // (wide * stride), tokens.shape[-1])
    patches = keras.layers.Cropping1D((others, 0), name="patch_tokens")(tokens)
    return keras.layers.Reshape(places, name=PATCHES)(patches)


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress the warnings of layers that do not take images of a size; an error follows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _digest(root: Path, algorithm: str) -> str:
    files = {file.relative_to(root).as_posix(): file for file in root.rglob("*") if file.is_file()}
    digest = hashlib.new(algorithm)
    for name in sorted(files, key=str.encode):
        with files[name].open("rb") as file:
            own = hashlib.file_digest(file, algorithm).hexdigest()
        digest.update(f"{own}  {name}\n".encode())
    return digest.hexdigest()


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
