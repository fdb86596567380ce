"""The trained model: a model as it is trained, with resized images, replicas and bfloat16."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from seedlings.networks import architectures
from seedlings.networks.runtime import keras
from seedlings.training import precision, progressive, replicas
from seedlings.training.params import Finetune


@contextmanager
def prepared(model: "keras.Model", params: Finetune) -> Iterator["keras.Model"]:
    """Yield the model that is trained in place of a head or an assembled model.

    The given model has the trained weights afterwards.

    It resizes images in training (`progressive`), divides batches (`replicas`) and computes with
    `precision`. Without these, it is the model itself.

    Raises SeedlingsError if a size is too small for the network, or if the processor has no
    instructions for the precision.
    """
    sizes, count = params.progressive.sizes, params.replicas
    chosen = precision.choose(params.precision)
    if not sizes and count == 1 and chosen == "float32":
        yield model
        return
    head = architectures.head_of(model)
    before = [] if head is model else [model.get_layer("feature_extractor")]
    twin = precision.lowered(head) if chosen == "bfloat16" else head
    trained = [*before, twin]
    inputs = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype, name="input")
    with progressive.any_size(trained, params.progressive):
        x = progressive.Resizing(inputs.shape[1:3])(inputs) if sizes else inputs
        outputs = replicas.apply(lambda part: _chain(trained, part), x, count)
        yield keras.Model(inputs, outputs, name=model.name)
    if twin is not head:
        head.set_weights(twin.get_weights())


def _chain(layers: Sequence["keras.Model"], x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x
