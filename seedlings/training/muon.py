"""Muon for convolutions: momentum whose update is orthogonalised (Jordan et al. 2024).

Keras' Muon updates matrices, and leaves the kernels of convolutions to AdamW. Here, it updates
these kernels, as matrices with one column for each filter. AdamW updates all other weights, and the
kernel of a convolution of grey or RGB images, whose inputs are few.
"""

from collections.abc import Sequence
from typing import Any

from seedlings.networks.layers import LONGEST_SUM
from seedlings.networks.runtime import keras, tf

ADAM_RATIO = 0.1  # of the learning rate, for AdamW
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan's polynomial, whose slope at 0 is large
_STEPS = 5
_COLOURS = 3


class Muon(keras.optimizers.Muon):
    """Muon for the kernels of convolutions; AdamW with a tenth of the learning rate for the rest.

    The update of a kernel has the scale of Jordan's implementation: its singular values are near
    the square root of max(1, inputs / filters).
    """

    def __init__(self, learning_rate: Any, *, weight_decay: float, **options: Any) -> None:
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            adam_weight_decay=weight_decay * ADAM_RATIO,
            adam_lr_ratio=ADAM_RATIO,
            **options,
        )

    def _should_use_adamw(self, variable: Any) -> bool:
        shape = variable.shape
        if len(shape) != 4 or shape[2] <= _COLOURS:
            return True
        return "depthwise" in variable.path  # each filter has one input

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        """Decay the weights as Keras does, with the learning rate computed once for all of them."""
        rate = self.learning_rate
        for variable in filter(self._use_weight_decay, variables):
            by_adamw = self._should_use_adamw(variable)
            decay = self.adam_weight_decay if by_adamw else self.weight_decay
            variable.assign(variable - variable * decay * rate)

    def lr_adjust(self, x: Any) -> Any:
        """Return the update: its scale is right already."""
        return x

    def zeropower_via_newtonschulz5(self, x: Any, steps: int = _STEPS) -> Any:
        """Return the orthogonalised update of a kernel (height x width x channels x filters)."""
        shape = x.shape
        matrix = tf.reshape(x, (-1, shape[-1]))
        rows, columns = matrix.shape
        wide = matrix if rows <= columns else tf.transpose(matrix)
        orthogonal = _orthogonalised(wide, steps)
        if rows > columns:
            orthogonal = tf.transpose(orthogonal) * (rows / columns) ** 0.5
        return tf.reshape(orthogonal, shape)


def _orthogonalised(matrix: Any, steps: int) -> Any:
    """Return a matrix (n x m, n <= m) with its singular values moved near 1.

    Newton and Schulz's iteration multiplies the matrix by polynomials of its Gram matrix (n x n).
    The factors are multiplied with each other first, because n is smaller than m.
    """
    a, b, c = _COEFFICIENTS
    matrix = matrix / (tf.norm(matrix) + 1e-7)
    gram = _product(matrix, tf.transpose(matrix))
    identity = tf.eye(matrix.shape[0])
    gathered = identity
    for step in range(steps):
        factor = a * identity + b * gram + c * _product(gram, gram)
        gathered = _product(factor, gathered) if step else factor
        if step < steps - 1:
            gram = _product(_product(factor, gram), factor)
    return _product(gathered, matrix)


def _product(first: Any, second: Any) -> Any:
    """Return the product of two matrices, summed in blocks of at most 512 terms."""
    starts = range(0, first.shape[1], LONGEST_SUM)
    parts = [first[:, s : s + LONGEST_SUM] @ second[s : s + LONGEST_SUM] for s in starts]
    return tf.add_n(parts) if len(parts) > 1 else parts[0]
