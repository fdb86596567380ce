import numpy as np
import pytest
from assembly import classifier
from numpy.typing import NDArray

from seedlings import params, presets
from seedlings.errors import SeedlingsError
from seedlings.networks import tta
from seedlings.networks.runtime import keras
from seedlings.tasks import TASKS
from seedlings.training import calibration
from seedlings.training.batches import Batches

SIZE = (32, 32)


MODELS = {
    "from scratch": ["model=seedlings", "finetune.convnet.filters=[8]"],
    "pooled": ["extract.pooling=average"],
}


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest) -> "keras.Model":
    name = getattr(request, "param", "from scratch")
    settings = params.check(presets.compose(["sample", *MODELS[name]]))
    keras.utils.set_random_seed(3)
    return classifier(settings, SIZE, 4, TASKS["multiclass"])


def run(model: "keras.Model", images: NDArray) -> NDArray[np.float32]:
    """The outputs, without the compilation that `predict` needs."""
    return np.asarray(model(np.ascontiguousarray(images)))


def turned(images: NDArray, count: int) -> list[NDArray]:
    """The copies of images, by NumPy."""
    mirrored = images[:, :, ::-1]
    if count <= 4:
        return [images, mirrored, images[:, ::-1], mirrored[:, ::-1]][:count]
    return [np.rot90(copy, turns, (1, 2)) for copy in (images, mirrored) for turns in range(4)]


@pytest.fixture
def images(rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (5, *SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("model", MODELS, indirect=True)
@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_the_outputs_are_the_means_over_the_copies(
    count: int, model: "keras.Model", images: NDArray[np.uint8]
) -> None:
    averaged = tta.averaged(model, count)
    every = [run(model, copy) for copy in turned(images, count)]
    np.testing.assert_allclose(run(averaged, images), np.mean(every, axis=0), atol=1e-6)
    assert tta.count(averaged) == count
    assert len({copy.tobytes() for copy in turned(images, count)}) == count
    if count > 1:
        assert run(tta.apart(averaged), images).shape == (5, count, 4)


def test_the_model_without_copies_is_found_in_that_with_several(
    model: "keras.Model", images: NDArray[np.uint8]
) -> None:
    single = tta.alone(tta.averaged(model, 4))
    np.testing.assert_array_equal(run(single, images), run(model, images))
    assert tta.alone(model) is model


def test_calibration_minimises_the_log_loss_of_the_mean(
    model: "keras.Model", rng: np.random.Generator
) -> None:
    images = rng.integers(0, 256, (80, *SIZE, 3), dtype=np.uint8)
    averaged = tta.averaged(keras.models.clone_model(model), 2)
    output = averaged.get_layer("head").get_layer("output")
    output.set_weights([weights * 60.0 for weights in output.get_weights()])
    likely = run(averaged, images).argmax(axis=1)
    labels = np.where(rng.random(80) < 0.7, likely, rng.integers(0, 4, 80))
    validation = Batches(images, labels, size=32)

    def loss() -> float:
        outputs = run(averaged, images)
        return -float(np.log(outputs[np.arange(80), labels]).mean())

    before = loss()
    found = calibration.calibrate(averaged, validation, TASKS["multiclass"])
    after = loss()
    kept = output.get_weights()
    neighbours = []
    for factor in (0.97, 1.03):
        output.set_weights([weights * factor for weights in kept])
        neighbours.append(loss())
    assert 0.4 < found < 19.0
    assert after < before
    assert after < min(neighbours)


def test_images_that_are_not_square_have_no_quarter_turns() -> None:
    images = keras.Input((4, 6, 3), dtype="uint8")
    extractor = keras.Model(images, keras.ops.cast(images, "float32"), name="feature_extractor")
    features = keras.Input((4, 6, 3))
    head = keras.Model(features, keras.layers.GlobalAveragePooling2D()(features), name="head")
    model = keras.Model(images, head(extractor(images)))
    with pytest.raises(ValueError, match="expected square images for 8 copies, found 4 x 6"):
        tta.averaged(model, 8)
    assert tta.count(tta.averaged(model, 4)) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["package.tta=2", "extract.cropping=[4,0,2,2]"], None),
        (["package.tta=2", "extract.cropping=[0,0,4,0]"], "package.tta 1, or .+ found 2 copies"),
        (["package.tta=4", "extract.cropping=[4,4,2,2]", "extract.center_crop=[20,24]"], None),
        (["package.tta=4", "extract.cropping=[4,0,2,2]"], "package.tta 1, or .+ found 4 copies"),
        (["package.tta=8", "extract.cropping=[2,2,2,2]", "extract.center_crop=[24,24]"], None),
        (["package.tta=8", "extract.cropping=[4,4,2,2]"], "package.tta 1, or .+ found 8 copies"),
        (["package.tta=8", "extract.center_crop=[20,24]"], "package.tta 1, or .+ found 8 copies"),
        (["package.tta=8", "segment.pixels=[48,64]"], "package.tta 1, 2 or 4, .+ is not square"),
    ],
)
def test_the_parameters_refuse_copies_that_show_other_pixels(
    changes: list[str], message: str | None
) -> None:
    composed = presets.compose(["sample", *changes])
    if message is None:
        params.check(composed)
        return
    with pytest.raises(SeedlingsError, match=message):
        params.check(composed)
