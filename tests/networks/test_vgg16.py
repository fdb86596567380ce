import numpy as np

from seedlings.networks import vgg16
from seedlings.networks.runtime import keras


def test_at_full_width_it_is_the_vgg16_of_keras(rng: np.random.Generator) -> None:
    theirs = keras.applications.VGG16(include_top=False, weights=None, input_shape=(64, 64, 3))
    ours = vgg16.build((64, 64, 3), width=1.0)
    assert [layer.name for layer in ours.layers[1:]] == [layer.name for layer in theirs.layers[1:]]
    ours.set_weights(theirs.get_weights())
    images = rng.normal(0.0, 60.0, (2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        ours.predict(images, verbose=0), theirs.predict(images, verbose=0)
    )
