import numpy as np

import network
from seedlings.networks import vgg16
from seedlings.networks.runtime import keras


def randomised(rng: np.random.Generator) -> "keras.Model":
    """The network for training, with statistics and scales that are not those of the start."""
    model = network.build(classes=5, numbers=4, width=0.0625)
    for layer in model.get_layer("vgg16").layers:
        if isinstance(layer, network.BatchNormalization):
            layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(rng.normal(0.0, 0.3, layer.beta.shape))
            layer.mean.assign(rng.normal(0.0, 0.3, layer.mean.shape))
            layer.variance.assign(rng.uniform(0.3, 2.0, layer.variance.shape))
    return model


def test_the_folded_network_gives_the_outputs_of_the_trained_one(rng: np.random.Generator) -> None:
    model = randomised(rng)
    folded = network.folded(model, width=0.0625)
    images = rng.integers(0, 256, (3, 64, 64, 3)).astype(np.float32)
    pixels = vgg16.preprocess(images)
    expected = model.get_layer("vgg16").predict(pixels, verbose=0)
    found = folded.predict(pixels, verbose=0)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    names = [layer.name for layer in folded.layers[1:]]
    theirs = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    assert names == [layer.name for layer in theirs.layers[1:]]
