"""Replicas: a network that processes the parts of a batch at the same time, with the same weights.

A replica has its own threads. Each replica normalises its part by the part's own statistics (ghost
batch normalisation, Hoffer et al. 2017), and the gradient is that of the whole batch.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from seedlings.networks.runtime import keras, tf


def use_threads(threads: int, replicas: int) -> None:
    """Divide the threads of TensorFlow among replicas. Call it before the first operation."""
    tf.config.threading.set_intra_op_parallelism_threads(threads // replicas)
    tf.config.threading.set_inter_op_parallelism_threads(replicas)


def apply(network: Callable[[Any], Any], inputs: Any, count: int) -> Any:
    """Return the outputs (N x units) of a network for the inputs (N x ...), in `count` parts."""
    if count == 1:
        return network(inputs)
    return Joining()([network(part) for part in Division(count)(inputs)], inputs)


class Division(keras.layers.Layer):
    """Divides a batch into consecutive parts of nearly equal numbers of examples.

    A batch with fewer examples than parts is repeated: an empty part would have no statistics.
    """

    def __init__(self, count: int) -> None:
        super().__init__(name="division", autocast=False)
        self._count = count

    def call(self, inputs: Any) -> list[Any]:
        """Return the parts (n x ...)."""
        examples = tf.shape(inputs)[0]
        total = tf.maximum(examples, self._count)
        inputs = tf.gather(inputs, tf.range(total) % examples)
        places = [total * part // self._count for part in range(self._count + 1)]
        return [inputs[start:end] for start, end in pairwise(places)]

    def compute_output_spec(self, inputs: Any) -> list[Any]:
        """Return the specification of each part: any number of examples."""
        shape = (None, *inputs.shape[1:])
        return [keras.KerasTensor(shape, inputs.dtype) for _ in range(self._count)]


class Joining(keras.layers.Layer):
    """Joins the outputs of the parts of a batch, without those of repeated examples."""

    def __init__(self) -> None:
        super().__init__(name="joining", autocast=False)

    def call(self, outputs: list[Any], inputs: Any) -> Any:
        """Return the outputs (N x units) of the N examples of a batch."""
        return tf.concat(outputs, axis=0)[: tf.shape(inputs)[0]]

    def compute_output_spec(self, outputs: list[Any], inputs: Any) -> Any:
        """Return the specification of the outputs."""
        return keras.KerasTensor((None, *outputs[0].shape[1:]), outputs[0].dtype)
