import numpy as np
import pytest

from seedlings.errors import SeedlingsError
from seedlings.networks import backbones, vgg16
from seedlings.networks.runtime import keras
from seedlings.params import check


def test_at_full_width_it_is_the_vgg16_of_keras(rng: np.random.Generator) -> None:
    theirs = keras.applications.VGG16(include_top=False, weights=None, input_shape=(64, 64, 3))
    ours = vgg16.build((64, 64, 3), width=1.0)
    assert [layer.name for layer in ours.layers[1:]] == [layer.name for layer in theirs.layers[1:]]
    ours.set_weights(theirs.get_weights())
    images = rng.normal(0.0, 60.0, (2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        ours.predict(images, verbose=0), theirs.predict(images, verbose=0)
    )


def test_a_quarter_of_the_filters(tree: dict) -> None:
    tree["extract"]["width"] = 0.25
    extractor = backbones.build(check(tree).extract, 150, 150).feature_extractor
    assert extractor.output_shape == (None, 4, 4, 128)
    assert extractor.count_params() == 920_784  # 9 in out + out, summed over 13 convolutions


def test_images_that_are_too_small_are_refused(tree: dict) -> None:
    tree["extract"]["width"] = 0.25
    with pytest.raises(SeedlingsError, match="VGG16 cannot take images of 31 x 40"):
        backbones.build(check(tree).extract, 31, 40)
