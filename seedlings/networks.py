"""Networks: what is trained here, and how it goes on top of a backbone."""

from seedlings.backbones import Backbone
from seedlings.errors import SeedlingsError
from seedlings.params import Finetune
from seedlings.runtime import keras


def logistic_regression(image_shape: tuple[int, ...], classes: int) -> "keras.Model":
    """The chapter's baseline: pixels / 255, flatten, dense, softmax.

    Takes N x image_shape RGB uint8, gives N x classes probabilities.
    """
    images = keras.Input(image_shape, dtype="uint8", name="image")
    x = keras.layers.Rescaling(1.0 / 255.0, name="rescaling")(images)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(classes, activation="softmax", name="probabilities")(x)
    return keras.Model(images, x, name="logistic_regression")


def top(backbone: Backbone, classes: int, params: Finetune) -> "keras.Model":
    """What is trained on stored features: a head, below it the layers above the cut if asked.

    Takes features (N x h x w x C float32), gives N x classes probabilities. The layers above the
    cut stand in the layer `above`; where they are not to be trained they are left out.

    Raises SeedlingsError where they are asked for and there are none.
    """
    features = keras.Input(backbone.trunk.output_shape[1:], name="features")
    x = features
    if params.unfreeze.epochs:
        if backbone.above is None:
            raise SeedlingsError(
                "finetune.unfreeze.epochs: expected 0, as extract.cut is the backbone's last "
                f"layer and nothing is above it, found {params.unfreeze.epochs}; "
                "cut lower (for VGG16 at block4_pool)"
            )
        x = backbone.above(x)
    head = params.head
    x = _pooling(head.pooling)(x)
    if head.batch_normalization:
        x = keras.layers.BatchNormalization(momentum=head.momentum, name="normalization")(x)
    if head.dropout:
        x = keras.layers.Dropout(head.dropout, name="dropout")(x)
    penalty = keras.regularizers.L1L2(head.l1, head.l2) if head.l1 or head.l2 else None
    output = keras.layers.Dense(
        classes, activation="softmax", kernel_regularizer=penalty, name="probabilities"
    )
    return keras.Model(features, output(x), name="top")


def assemble(trunk: "keras.Model", top: "keras.Model") -> "keras.Model":
    """The whole classifier: images (N x H x W x 3, RGB uint8) to N x classes probabilities.

    Its layers `trunk` and `top` are the two models given, with the same weights.
    """
    images = keras.Input(trunk.input_shape[1:], dtype="uint8", name="image")
    return keras.Model(images, top(trunk(images)), name="classifier")


def _pooling(name: str) -> "keras.layers.Layer":
    if name == "flatten":
        return keras.layers.Flatten(name="pooling")
    if name == "max":
        return keras.layers.GlobalMaxPooling2D(name="pooling")
    return keras.layers.GlobalAveragePooling2D(name="pooling")
