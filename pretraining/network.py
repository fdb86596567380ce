"""The network while it is trained: a narrow VGG16 with batch normalisation, and a classifier."""

from typing import Any

import numpy as np

from seedlings.networks import vgg16
from seedlings.networks.runtime import keras, tf


@keras.saving.register_keras_serializable("pretraining")
class BatchNormalization(keras.layers.Layer):
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv 1502.03167) by one fused operation.

    Its results do not depend on the type of processor, and it is faster than Keras' layer. The
    moving variance is the unbiased one.
    """

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, **options: Any) -> None:
        super().__init__(**options)
        self.momentum, self.epsilon = momentum, epsilon

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the four weights, each of as many values as the input has channels."""
        size = (shape[-1],)
        self.gamma = self.add_weight(shape=size, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=size, initializer="zeros", name="beta")
        self.mean = self.add_weight(shape=size, initializer="zeros", trainable=False, name="mean")
        self.variance = self.add_weight(
            shape=size, initializer="ones", trainable=False, name="variance"
        )

    def call(self, x: Any, training: bool = False) -> Any:
        """Normalise by the batch's statistics in training, else by their moving averages."""
        running = {} if training else {"mean": self.mean, "variance": self.variance}
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            x, self.gamma, self.beta, epsilon=self.epsilon, is_training=training, **running
        )
        if training:
            for average, value in ((self.mean, mean), (self.variance, variance)):
                average.assign(average * self.momentum + value * (1.0 - self.momentum))
        return y


def build(classes: int, numbers: int, width: float) -> "keras.Model":
    """Return the network for images of any size (N x H x W x 3, RGB uint8).

    Its outputs are `classes` logits (N x classes) and the description (N x numbers).
    """
    images = keras.Input((None, None, 3), dtype="uint8")
    backbone = vgg16.build((None, None, 3), width, _convolution)
    features = backbone(vgg16.preprocess(keras.ops.cast(images, "float32")))
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    logits = keras.layers.Dense(classes, name="species")(pooled)
    description = keras.layers.Dense(numbers, name="description")(pooled)
    return keras.Model(images, [logits, description])


def _convolution(x: Any, filters: int, name: str) -> Any:
    x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    x = BatchNormalization(name=f"{name}_normalization")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def folded(network: "keras.Model", width: float) -> "keras.Model":
    """Return a plain VGG16 with the outputs of the trained backbone.

    The normalisation becomes a part of the weights: the scale gamma / sqrt(variance + epsilon)
    multiplies the kernel, and the bias is beta - mean * scale (Jacob et al. 2017, arXiv 1712.05877,
    section 3.2).
    """
    trained = network.get_layer("vgg16")
    plain = vgg16.build((None, None, 3), width)
    for layer in plain.layers:
        if isinstance(layer, keras.layers.Conv2D):
            norm = trained.get_layer(f"{layer.name}_normalization")
            scale = norm.gamma.numpy() / np.sqrt(norm.variance.numpy() + norm.epsilon)
            kernel = trained.get_layer(layer.name).get_weights()[0]
            layer.set_weights([kernel * scale, norm.beta.numpy() - norm.mean.numpy() * scale])
    return plain
