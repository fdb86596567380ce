import numpy as np
import pytest
from assembly import classifier, composed
from numpy.typing import NDArray

from seedlings.errors import SeedlingsError
from seedlings.networks.runtime import keras, tf
from seedlings.params import Params
from seedlings.tasks import TASKS
from seedlings.training import whitening

SIZE = (24, 24)


def parameters(*changes: str) -> Params:
    return composed("sample", "model=seedlings", *changes)


def untrained(filters: int) -> "keras.Model":
    keras.utils.set_random_seed(3)
    changes = [f"finetune.convnet.stem_filters=[{filters}]", "finetune.convnet.filters=[8]"]
    return classifier(parameters(*changes), SIZE, 3, TASKS["multiclass"])


def whitened(images: NDArray[np.uint8], filters: int, seed: int = 1) -> "keras.Model":
    model = untrained(filters)
    whitening.whiten(model, images, seed)
    return model


def first_kernel(model: "keras.Model") -> NDArray[np.float32]:
    return model.get_layer("head").layers[1].get_weights()[0]


@pytest.fixture
def images(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Images of blocks of 2 x 2 pixels whose channels are alike, as in photographs."""
    grey = rng.integers(40, 200, (60, 12, 12, 1)).repeat(2, axis=1).repeat(2, axis=2)
    return (grey + rng.integers(0, 50, (60, *SIZE, 3))).astype(np.uint8)


def test_the_outputs_of_the_first_convolution_are_decorrelated(images: NDArray[np.uint8]) -> None:
    model = whitened(images, 27)
    pixels = model.get_layer("feature_extractor")(images)
    outputs = tf.nn.conv2d(pixels, first_kernel(model), 4, "VALID")
    found = np.cov(np.reshape(outputs, (-1, 27)), rowvar=False)
    variances = np.diag(found)
    assert variances[0] == pytest.approx(1.0, abs=0.05)
    assert (np.diff(variances) < 0.01).all()  # components with little variance are not amplified
    assert np.abs(found - np.diag(variances)).max() < 0.01
    kernel = first_kernel(model).reshape(27, 27)
    norms = np.linalg.norm(kernel, axis=0)
    np.testing.assert_allclose(kernel.T @ kernel / np.outer(norms, norms), np.eye(27), atol=1e-5)


def test_further_filters_are_negatives_and_then_random(images: NDArray[np.uint8]) -> None:
    kernel = first_kernel(whitened(images, 60))
    np.testing.assert_array_equal(kernel[..., 27:54], -kernel[..., :27])
    np.testing.assert_array_equal(kernel[..., 54:], first_kernel(untrained(60))[..., 54:])
    np.testing.assert_array_equal(first_kernel(whitened(images, 5)), kernel[..., :5])


def test_the_seed_chooses_the_images(images: NDArray[np.uint8]) -> None:
    many = images.repeat(5, axis=0)[: whitening._IMAGES + 20]
    kernels = [first_kernel(whitened(many, 27, seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_the_order_of_the_sums_does_not_matter(rng: np.random.Generator) -> None:
    patches = rng.integers(0, 256, (5000, 27)) / 127.5 - 1.0
    found = whitening._components(patches)
    np.testing.assert_array_equal(found, whitening._components(patches[rng.permutation(5000)]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["extract.backbone=VGG16"], "finetune.convnet.whitened false, or"),
        (
            ["finetune.convnet.stem_filters=[]", "finetune.convnet.filters=[]"],
            "expected stem_filters or filters with whitened",
        ),
    ],
)
def test_parameters_without_a_convolution_to_whiten_are_refused(
    changes: list[str], message: str
) -> None:
    with pytest.raises(SeedlingsError, match=message):
        parameters(*changes)
