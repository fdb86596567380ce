import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from seedlings import presets
from seedlings.networks import applications, backbones, efficientnet_lite, models, state_dicts
from seedlings.networks.params import Extract
from seedlings.networks.runtime import keras
from seedlings.params import check

FILE = Path(str(applications.APPLICATIONS["EfficientNetLite0"].weights["imagenet"].path()))
HALVED = {1, 3, 5, 11}  # the blocks with a stride of 2 (B0 in table 1 of Tan and Le 2019)
Tensors = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return state_dicts.read(FILE)


@pytest.fixture
def build(tree: dict[str, Any]) -> Callable[..., "keras.Model"]:
    """The feature extractor with the weights from ImageNet, for images of a size."""

    def make(height: int, width: int, **changes: Any) -> "keras.Model":
        lite = {"backbone": "EfficientNetLite0", "width": 1.0, "weights": "imagenet", "cut": None}
        tree["extract"] |= lite | changes
        params: Extract = check(tree).extract
        return backbones.build(params, height, width).feature_extractor

    return make


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """A convolution or, of one input channel, a depthwise one; the kernel is PyTorch's."""
    size = kernel.shape[-1]
    pads = [(0, 0)]
    for length in x.shape[1:3]:
        total = max((-(-length // stride) - 1) * stride + size - length, 0)
        pads.append((total // 2, total - total // 2))  # the larger half is at the end
    padded = np.pad(x, [*pads, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
    windows = windows[:, ::stride, ::stride]
    if kernel.shape[1] == 1:
        return np.einsum("nhwckl,ckl->nhwc", windows, kernel[:, 0])
    return np.einsum("nhwckl,ockl->nhwo", windows, kernel, optimize=True)


def forward(images: np.ndarray, tensors: Tensors) -> np.ndarray:
    """The last map of EfficientNet-Lite0, in NumPy, from the tensors and images (0 to 255)."""

    def normalized(x: np.ndarray, name: str, *, activated: bool = True) -> np.ndarray:
        parts = ("weight", "bias", "running_mean", "running_var")
        scale, offset, mean, variance = (tensors[f"{name}.{part}"] for part in parts)
        x = (x - mean) / np.sqrt(variance + 1e-3) * scale + offset
        return np.clip(x, 0.0, 6.0) if activated else x

    x = (images.astype(np.float64) - 127.0) / 128.0
    x = normalized(convolved(x, tensors["_conv_stem.weight"], 2), "_bn0")
    for number in range(16):
        block, before = f"_blocks.{number}", x
        if number:
            x = normalized(convolved(x, tensors[f"{block}._expand_conv.weight"]), f"{block}._bn0")
        stride = 2 if number in HALVED else 1
        x = convolved(x, tensors[f"{block}._depthwise_conv.weight"], stride)
        x = normalized(x, f"{block}._bn1")
        x = convolved(x, tensors[f"{block}._project_conv.weight"])
        x = normalized(x, f"{block}._bn2", activated=False)
        if x.shape == before.shape:
            x = x + before
    return normalized(convolved(x, tensors["_conv_head.weight"]), "_bn1")


@pytest.mark.parametrize("size", [(64, 64), (33, 75)])
def test_its_outputs_are_those_of_the_formulas_in_numpy(
    size: tuple[int, int],
    build: Callable[..., "keras.Model"],
    tensors: Tensors,
    rng: np.random.Generator,
) -> None:
    images = rng.integers(0, 256, (2, *size, 3), dtype=np.uint8)
    found = models.compiled(build(*size))(images)
    expected = forward(images, tensors)
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("china.jpg", {"palace": 698, "bell cote": 442, "monastery": 663}),
        ("flower.jpg", {"daisy": 985}),
    ],
)
def test_the_most_probable_classes_of_photographs_are_what_they_show(
    name: str, classes: dict[str, int], build: Callable[..., "keras.Model"], tensors: Tensors
) -> None:
    photograph = load_sample_image(name)[:, 106:-107]  # the middle: 427 x 427
    image = cv2.resize(photograph, (224, 224), interpolation=cv2.INTER_AREA)
    features = models.compiled(build(224, 224))(image[None]).mean(axis=(1, 2))[0]
    scores = tensors["_fc.weight"] @ features + tensors["_fc.bias"]
    five = scores.argsort()[::-1][:5].tolist()
    assert five[0] == next(iter(classes.values()))
    assert set(classes.values()) <= set(five)


def test_every_tensor_but_those_of_the_top_is_a_weight(tensors: Tensors) -> None:
    model = efficientnet_lite.build((32, 32, 3))
    efficientnet_lite.load_weights(model, FILE)
    without = ("_fc.", ".num_batches_tracked")
    left = {name: array for name, array in tensors.items() if not any(w in name for w in without)}
    assert model.count_params() == 3_413_024 == sum(array.size for array in left.values())
    found = sorted(float(np.abs(weight).sum(dtype=np.float64)) for weight in model.get_weights())
    expected = sorted(float(np.abs(array).sum(dtype=np.float64)) for array in left.values())
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("_blocks.3._bn1.bias"), r"expected the tensor _blocks\.3\._bn1\.bias"),
        (lambda t: t.update(extra=t["_bn0.bias"]), "found also extra"),
        (
            lambda t: t.update({"_conv_stem.weight": t["_conv_stem.weight"][:, :, :, :2]}),
            r"_conv_stem\.weight: .*\(3, 3, 3, 32\).*\(3, 2, 3, 32\)",
        ),
        (
            lambda t: t.update({"_bn0.weight": t["_bn0.weight"].astype(np.int64)}),
            r"_bn0\.weight: expected float32 .* found int64",
        ),
    ],
)
def test_tensors_of_another_network_are_refused(
    change: Callable[[Tensors], Any],
    message: str,
    tensors: Tensors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = dict(tensors)
    change(other)
    monkeypatch.setattr(state_dicts, "read", lambda path: other)
    with pytest.raises(ValueError, match=message):
        efficientnet_lite.load_weights(efficientnet_lite.build((32, 32, 3)), FILE)


def test_the_preset_folder_builds_its_network_without_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_network(*arguments: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    extract = check(presets.compose(["folder"])).extract
    backbone = backbones.build(extract, 64, 64)
    assert backbone.widths == [96, 144, 240, 672, 1152, 1280]
    assert backbone.feature_extractor.output_shape == (None, 3584)


def test_a_small_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 x 32, found 31 x 60"):
        efficientnet_lite.build((31, 60, 3))


@pytest.mark.parametrize(
    ("cut", "shape"),
    [("block4_add", (8, 8, 40)), ("block10_add", (4, 4, 112)), ("block15_project_bn", (2, 2, 320))],
)
def test_it_can_be_cut_after_a_block(
    cut: str, shape: tuple[int, int, int], build: Callable[..., "keras.Model"]
) -> None:
    assert build(64, 64, cut=cut).output_shape[1:] == shape
