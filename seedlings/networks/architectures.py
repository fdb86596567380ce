"""Architectures: the baseline, the head on a backbone, and the assembled model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seedlings.errors import SeedlingsError
from seedlings.networks import layers
from seedlings.networks.params import ConvNet, Head, Penalty, Regularization
from seedlings.networks.runtime import keras

if TYPE_CHECKING:
    from seedlings.networks.backbones import Backbone
    from seedlings.tasks import Task


def baseline(
    image_shape: tuple[int, ...],
    units: int,
    task: "Task",
    *,
    mean: Sequence[float] = (0.0,),
    scale: float = 1.0 / 255.0,
) -> "keras.Model":
    """Return the baseline: a logistic regression on the pixels, or a linear one for numbers.

    The model maps images (N x image_shape, RGB uint8) to outputs (N x units, float32). Its layers
    are rescaling to (pixel - `mean`) * `scale`, flatten, and dense with the activation of the task;
    `mean` has one value, or one for each channel.
    """
    images = keras.Input(image_shape, dtype="uint8", name="image")
    offset = [-scale * value for value in mean]
    x = keras.layers.Rescaling(scale, offset, name="rescaling")(images)
    x = keras.layers.Flatten(name="flatten")(x)
    x = layers.Dense(units, activation=task.activation, name="output")(x)
    return keras.Model(images, x, name="baseline")


def head(
    backbone: "Backbone",
    units: int,
    task: "Task",
    *,
    convnet: ConvNet,
    params: Head,
    regularization: Regularization,
    unfreezes: bool = False,
    scaling: tuple[Sequence[float], Sequence[float]] | None = None,
) -> "keras.Model":
    """Return the model that is trained: the trainable layers if unfrozen, a ConvNet, and a head.

    It takes features (N x h x w x C float32) and returns N x units. The trainable layers are its
    layer `trainable_layers`; without `unfreezes` it has none. Pooled features (N x C) are
    not pooled again, but scaled to feature * scale + offset, the two parts of `scaling`.

    Raises SeedlingsError if the backbone has no trainable layers to unfreeze, or if the input of a
    block is too small.
    """
    features = keras.Input(backbone.feature_extractor.output_shape[1:], name="features")
    x = features
    if backbone.is_pooled:
        if scaling:
            scale, offset = scaling
            x = keras.layers.Rescaling(list(scale), list(offset), name="standardization")(x)
    elif unfreezes:
        if backbone.trainable_layers is None:
            raise SeedlingsError(
                "finetune.unfreeze.epochs: expected 0, as extract.cut is the backbone's last "
                "layer and no layer follows it, found more; cut at an earlier layer (for VGG16 at "
                "block4_pool)"
            )
        x = backbone.trainable_layers(x)
    penalties = _penalties(regularization)
    x = _convnet(x, convnet, penalties)
    x = _head(x, params, penalties)
    output = layers.Dense(units, activation=task.activation, name="output", **penalties)
    return keras.Model(features, output(x), name="head")


def assemble(feature_extractor: "keras.Model", head: "keras.Model") -> "keras.Model":
    """Return the whole model: images (N x H x W x 3, RGB uint8) to the outputs of the head.

    Its layers `feature_extractor` and `head` are the two given models, with the same weights.
    """
    images = keras.Input(feature_extractor.input_shape[1:], dtype="uint8", name="image")
    return keras.Model(images, head(feature_extractor(images)), name="classifier")


def head_of(model: "keras.Model") -> "keras.Model":
    """Return the head of an assembled model; a model without one is the head itself."""
    names = [layer.name for layer in model.layers]
    return model.get_layer("head") if "head" in names else model


def _convnet(x: Any, params: ConvNet, penalties: dict[str, Any]) -> Any:
    """Apply strided convolutions, then blocks of convolutions.

    Plain blocks (LeCun et al. 1998) end with max pooling; average pooling precedes residual blocks
    (He et al. 2016, basic blocks) whose number of filters differs from the block before.
    """
    for filters in params.stem_filters:
        x = _convolution(x, filters, params, penalties, stride=params.stem_stride)
    for number, filters in enumerate(params.filters):
        if params.residual:
            if number and params.pool > 1 and filters != params.filters[number - 1]:
                x = keras.layers.AveragePooling2D(params.pool)(x)
            for _ in range(params.convolutions):
                x = _residual(x, filters, params, penalties)
        else:
            x = _plain(x, filters, params, penalties)
    return x


def _plain(x: Any, filters: int, params: ConvNet, penalties: dict[str, Any]) -> Any:
    for _ in range(params.convolutions):
        x = _convolution(x, filters, params, penalties)
    if params.pool > 1:
        _check_room(x, params.pool)
        x = keras.layers.MaxPooling2D(params.pool)(x)
    if params.batch_normalization == "after_pool":
        x = layers.BatchNormalization(momentum=params.momentum)(x)
    if params.dropout:
        x = keras.layers.Dropout(params.dropout)(x)
    return x


def _residual(x: Any, filters: int, params: ConvNet, penalties: dict[str, Any]) -> Any:
    """Apply a basic residual block; a 1 x 1 convolution matches the channels of the shortcut."""
    shortcut = x
    if x.shape[-1] != filters:
        shortcut = keras.layers.Conv2D(filters, 1, use_bias=False, **_kernel(penalties))(x)
        shortcut = _normalized(shortcut, params)
    y = _convolution(x, filters, params, penalties)
    y = _convolution(y, filters, params, penalties, activated=False)
    y = keras.layers.Activation("relu")(keras.layers.Add()([y, shortcut]))
    return keras.layers.Dropout(params.dropout)(y) if params.dropout else y


def _convolution(
    x: Any,
    filters: int,
    params: ConvNet,
    penalties: dict[str, Any],
    *,
    stride: int = 1,
    activated: bool = True,
) -> Any:
    """Apply a convolution, batch normalisation if the parameters ask for it, and ReLU."""
    _check_room(x, params.kernel if params.padding == "valid" else stride)
    normalized = params.batch_normalization == "after_convolution"
    x = keras.layers.Conv2D(
        filters,
        params.kernel,
        strides=stride,
        padding=params.padding,
        use_bias=not normalized,
        **(_kernel(penalties) if normalized else penalties),
    )(x)
    x = _normalized(x, params)
    return keras.layers.Activation("relu")(x) if activated else x


def _normalized(x: Any, params: ConvNet) -> Any:
    if params.batch_normalization != "after_convolution":
        return x
    return layers.BatchNormalization(momentum=params.momentum)(x)


def _head(x: Any, params: Head, penalties: dict[str, Any]) -> Any:
    if len(x.shape) == 4:
        x = _pooling(params.pooling)(x)
    if params.batch_normalization:
        x = layers.BatchNormalization(momentum=params.momentum, name="normalization")(x)
    if params.dropout:
        x = keras.layers.Dropout(params.dropout, name="dropout")(x)
    for width in params.dense:
        x = layers.Dense(width, activation="relu", **penalties)(x)
    return x


def _pooling(name: str) -> "keras.layers.Layer":
    if name == "flatten":
        return keras.layers.Flatten(name="pooling")
    if name == "max":
        return keras.layers.GlobalMaxPooling2D(name="pooling")
    return layers.GlobalAveragePooling2D(name="pooling")


def _penalties(params: Regularization) -> dict[str, Any]:
    """Return the regularizers of a Keras layer as keyword arguments, without those that are 0."""
    parts = {"kernel": params.kernel, "bias": params.bias, "activity": params.activity}
    penalties = {f"{name}_regularizer": _penalty(part) for name, part in parts.items()}
    return {name: penalty for name, penalty in penalties.items() if penalty}


def _penalty(params: Penalty) -> Any:
    return keras.regularizers.L1L2(params.l1, params.l2) if params.l1 or params.l2 else None


def _kernel(penalties: dict[str, Any]) -> dict[str, Any]:
    """Return the kernel regularizer only, for a layer without bias before batch normalisation."""
    return {name: value for name, value in penalties.items() if name == "kernel_regularizer"}


def _check_room(x: Any, needed: int) -> None:
    if min(x.shape[1:3]) < needed:
        raise SeedlingsError(
            f"finetune.convnet: expected at least {needed} x {needed} pixels before each layer, "
            f"found {x.shape[1]} x {x.shape[2]}; use fewer blocks (filters), or a larger "
            "segment.pixels"
        )
