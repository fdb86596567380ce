"""Layers whose results do not depend on the type of the processor, or on the runtime of an export.

They have the weights, names and options of the layers of Keras with the same names.
"""

from typing import Any

import numpy as np

from seedlings.networks.runtime import keras, tf

LONGEST_SUM = 512  # terms; longer sums of products are split by the size of the processor's cache


@keras.saving.register_keras_serializable("seedlings")
class Dense(keras.layers.Dense):
    """A dense layer whose products are summed in fixed blocks of at most 512 terms.

    The blocks of a longer matrix product would depend on the processor's cache. Inputs have two
    axes (N x inner).
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the outputs (N x units, float32)."""
        inner = inputs.shape[-1]
        if inner <= LONGEST_SUM:
            return super().call(inputs, training=training)
        blocks, size = _blocks(inner)
        excess = blocks * size - inner
        kernel = tf.convert_to_tensor(self.kernel)
        if excess:
            inputs = tf.pad(inputs, [[0, 0], [0, excess]])
            kernel = tf.pad(kernel, [[0, excess], [0, 0]])
        factors = tf.reshape(inputs, (-1, blocks, size))
        products = tf.einsum("nbi,biu->bnu", factors, tf.reshape(kernel, (blocks, size, -1)))
        outputs = tf.reduce_sum(products, axis=0)
        if self.use_bias:
            outputs = outputs + self.bias
        return self.activation(outputs)


def _blocks(inner: int) -> tuple[int, int]:
    """Return number and size of equal blocks.

    `blocks * size` can exceed `inner`, by less than one element a block.
    """
    fewest = -(-inner // LONGEST_SUM)
    blocks = next((n for n in range(fewest, 2 * fewest) if inner % n == 0), fewest)
    return blocks, -(-inner // blocks)


@keras.saving.register_keras_serializable("seedlings")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation (Ioffe and Szegedy 2015) that divides by a square root.

    Keras multiplies by `rsqrt`, an instruction whose approximation differs by processor. In
    training, images (N x H x W x C) are normalised by TensorFlow's fused operation, which divides,
    too, and is faster. In inference it is not used: fused with a convolution, it has `rsqrt`. There
    is no masking and no renormalisation, and the channels are the last axis.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the normalised inputs (N x ... x C, float32); update the moving statistics.

        Raises ValueError if there is a mask.
        """
        if mask is not None:
            raise ValueError(f"{self.name}: expected no mask, found {mask}")
        gamma = self.gamma if self.scale else tf.ones_like(self.moving_variance)
        beta = self.beta if self.center else tf.zeros_like(self.moving_mean)
        if not (training and self.trainable):
            scale = _scale(gamma, self.moving_variance, self.epsilon)
            return inputs * scale + (beta - self.moving_mean * scale)
        normalize = _fused if len(inputs.shape) == 4 else _by_moments
        outputs, mean, variance = normalize(inputs, gamma, beta, self.epsilon)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable("seedlings")
class GlobalAveragePooling2D(keras.layers.GlobalAveragePooling2D):
    """Means over the places of maps (N x H x W x C): of each row, then of the rows.

    One sum of all places loses digits in runtimes that add one after another: for maps of 37 x 37,
    10 times as many as two sums, and then an exported model answers differently.
    """

    def call(self, inputs: Any) -> Any:
        """Return the means (N x C, or N x 1 x 1 x C with `keepdims`)."""
        dtype = keras.backend.result_type(inputs.dtype, "float32")  # bfloat16 has too few digits
        rows = tf.reduce_mean(tf.cast(inputs, dtype), axis=2, keepdims=self.keepdims)
        return tf.cast(tf.reduce_mean(rows, axis=1, keepdims=self.keepdims), inputs.dtype)


@keras.saving.register_keras_serializable("seedlings")
class Normalization(keras.layers.Normalization):
    """Normalisation with its mean and variance as NumPy arrays.

    As tensors, they would become inputs of an exported model.
    """

    def build(self, input_shape: Any) -> None:
        """Create the weights, and take the constants from them or from the configuration."""
        super().build(input_shape)
        self._convert()

    def finalize_state(self) -> None:
        """Take the constants from the weights, after they were loaded."""
        super().finalize_state()
        self._convert()

    def _convert(self) -> None:
        for name in ("mean", "variance"):
            setattr(self, name, np.asarray(getattr(self, name)))


@keras.saving.register_keras_serializable("seedlings")
class Transposition(keras.layers.Layer):
    """Exchanges height and width of images (N x H x W x C).

    It gathers pixels, because TensorFlow prints an error when oneDNN with `AVX2` at most has to
    transpose uint8.
    """

    def call(self, images: Any) -> Any:
        """Return the images (N x W x H x C)."""
        height, width, channels = images.shape[1:]
        order = np.arange(height * width).reshape(height, width).T.ravel()
        pixels = tf.reshape(images, (-1, height * width, channels))
        return tf.reshape(tf.gather(pixels, order, axis=1), (-1, width, height, channels))


def replaced(model: "keras.Model") -> "keras.Model":
    """Return a copy of a model, with the same weights and the layers above."""

    def copy(layer: "keras.layers.Layer") -> "keras.layers.Layer":
        return _REPLACED.get(type(layer), type(layer)).from_config(layer.get_config())

    if not any(type(layer) in _REPLACED for layer in model.layers):
        return model
    twin = keras.models.clone_model(model, clone_function=copy)
    twin.set_weights(model.get_weights())
    for layer in twin.layers:
        if isinstance(layer, Normalization):
            layer.finalize_state()
    return twin


_REPLACED: dict[type, Any] = {
    keras.layers.BatchNormalization: BatchNormalization,
    keras.layers.GlobalAveragePooling2D: GlobalAveragePooling2D,
    keras.layers.Normalization: Normalization,
}


def _fused(inputs: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Return the normalised inputs, and mean and variance of the batch."""
    outputs, mean, unbiased = tf.compat.v1.nn.fused_batch_norm(
        inputs, gamma, beta, epsilon=epsilon, is_training=True
    )
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
    return outputs, mean, unbiased * ((count - 1.0) / count)


def _by_moments(inputs: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Return the normalised inputs, and mean and variance of the batch."""
    mean, variance = tf.nn.moments(inputs, list(range(len(inputs.shape) - 1)))
    scale = _scale(gamma, variance, epsilon)
    return inputs * scale + (beta - mean * scale), mean, variance


def _scale(gamma: Any, variance: Any, epsilon: float) -> Any:
    # With the operator `/`, TensorFlow's graph optimiser would turn the quotient into `rsqrt`.
    return tf.math.divide_no_nan(gamma, tf.sqrt(variance + epsilon))
