"""Precision: a network that trains with bfloat16, a format of 16 bits with the range of float32.

Processors with instructions for bfloat16 multiply matrices several times faster. The weights,
their updates, the statistics of batch normalisation and the output layer stay in float32
(Kalamkar et al. 2019, A Study of BFLOAT16 for Deep Learning Training).
"""

from pathlib import Path
from typing import Any

from seedlings import processor
from seedlings.errors import SeedlingsError
from seedlings.networks import layers
from seedlings.networks.runtime import keras, tf

_POLICY = "mixed_bfloat16"
_FACTS = Path("/proc/cpuinfo")
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}
# The probabilities, and the differences of features from their means, need more precision.
_IN_FLOAT32 = ("output", "standardization")


def choose(wanted: str) -> str:
    """Return `float32` or `bfloat16`, for a wanted precision; `auto` is what the processor has.

    Raises SeedlingsError if this processor has no instructions for the wanted precision.
    """
    if wanted == "float32":
        return wanted
    if _has_bfloat16():
        return "bfloat16"
    if wanted == "auto":
        return "float32"
    raise SeedlingsError(
        "params.yaml: finetune.precision: expected `float32` or `auto`, as this processor, "
        f"{processor.name()}, has no instructions for bfloat16 (AVX512_BF16 or AMX); found "
        f"`{wanted}`"
    )


def lowered(model: "keras.Model") -> "keras.Model":
    """Return a copy of a model, with the same weights, that computes with bfloat16.

    Inputs and outputs are float32, and so are the layers `output` and `standardization`.
    """

    def copy(layer: "keras.layers.Layer") -> "keras.layers.Layer":
        kind = BatchNormalization if type(layer) is layers.BatchNormalization else type(layer)
        policy = "float32" if layer.name in _IN_FLOAT32 else _POLICY
        return kind.from_config({**layer.get_config(), "dtype": policy})

    twin = keras.models.clone_model(model, clone_function=copy, recursive=True)
    twin.set_weights(model.get_weights())
    return twin


def _has_bfloat16() -> bool:
    """Return whether Linux lists these instructions for the processor."""
    try:
        lines = _FACTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return not _INSTRUCTIONS.isdisjoint(flags)


class BatchNormalization(layers.BatchNormalization):
    """Batch normalisation of bfloat16, with statistics and parameters in float32."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the normalised inputs (N x ... x C, bfloat16)."""
        if training and self.trainable and len(inputs.shape) == 4:
            return super().call(inputs, training=training, mask=mask)  # fused, sums in float32
        normalized = super().call(tf.cast(inputs, tf.float32), training=training, mask=mask)
        return tf.cast(normalized, inputs.dtype)
