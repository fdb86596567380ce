"""Parameters of the section `extract`, and of the architectures in `finetune`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from seedlings.config.params import Checksum, Count, NotNegative, Section, Share
from seedlings.networks import applications, hub


class Extract(Section):
    backbone: str
    last: str | None
    cut: str | None
    layers: Annotated[list[str], Field(min_length=1)] | None
    pooling: Literal["none", "average"]
    width: Annotated[float, Field(gt=0, le=1)]
    weights: str
    checksum: Checksum | None
    batch_size: Count
    cropping: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=4, max_length=4)]
    center_crop: Annotated[list[Count], Field(min_length=2, max_length=2)] | None
    grayscale: bool
    scaling: Literal["unit", "signed", "none"]

    @property
    def from_scratch(self) -> bool:
        """Whether there is no backbone, and so neither frozen layers nor stored features."""
        return self.backbone == "none"

    @model_validator(mode="after")
    def _layers_are_pooled(self) -> Self:
        if self.pooling == "none" and self.layers is not None:
            raise ValueError(
                "layers null with pooling `none`, whose features are those of the layer cut, "
                f"found {self.layers}"
            )
        if self.pooling == "average" and self.from_scratch:
            raise ValueError("pooling `none` with backbone `none`, which has no layers")
        if self.layers is not None and self.last is not None:
            raise ValueError(f"last null with layers, which say where it ends, found {self.last}")
        if self.layers is not None and len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers that differ, found {self.layers}")
        return self

    @model_validator(mode="after")
    def _backbone_has_the_width_and_the_weights(self) -> Self:
        application = applications.find(self.backbone)
        if self.width != 1.0 and not application.has_widths:
            raise ValueError(
                f"width 1.0, as {self.backbone} has no other widths, found {self.width}"
            )
        named = application.weights.get(self.weights)
        if named and named.width != self.width:
            raise ValueError(
                f"width {named.width} with the weights `{self.weights}`, found {self.width}"
            )
        if named or self.weights == "random":
            return self
        names = ", ".join(["random", *application.weights])
        if application.preset:
            raise ValueError(
                f"weights {names}, as a preset has no others, found {self.weights!r} with "
                f"{self.backbone}"
            )
        if self.weights.isidentifier():
            raise ValueError(
                f"weights {names}, or the path or URL of a .h5 file, as {self.backbone} has no "
                f"others, found {self.weights!r}"
            )
        if self.checksum is None:
            raise ValueError(
                f"a checksum of the weights {self.weights!r}, a file that DVC does not track, "
                "found none (set extract.checksum)"
            )
        return self

    @model_validator(mode="after")
    def _only_the_folder_of_a_preset_has_a_checksum(self) -> Self:
        preset = applications.find(self.backbone).preset
        if preset is None:
            return self
        folder = hub.folder(preset)
        if folder and self.checksum is None:
            raise ValueError(
                f"a checksum of the files in the folder {folder}, which DVC does not track, found "
                "none (set extract.checksum; docs/backbones.md has the command)"
            )
        if not folder and self.checksum is not None:
            raise ValueError(
                f"checksum null, as {self.backbone} is no folder, found {self.checksum}; a folder "
                "is hub:PATH with a slash, such as hub:./preset"
            )
        return self


class ConvNet(Section):
    stem_filters: list[Count]
    stem_stride: Count
    filters: list[Count]
    convolutions: Count
    kernel: Count
    padding: Literal["valid", "same"]
    residual: bool
    pool: Count
    batch_normalization: Literal["none", "after_convolution", "after_pool"]
    momentum: Share
    dropout: Share
    whitened: bool

    @model_validator(mode="after")
    def _only_convolutions_are_whitened(self) -> Self:
        if self.whitened and not (self.stem_filters or self.filters):
            raise ValueError("stem_filters or filters with whitened, found none")
        return self

    @model_validator(mode="after")
    def _residual_blocks_have_no_pool_of_their_own(self) -> Self:
        if self.residual and self.batch_normalization == "after_pool":
            raise ValueError(
                "batch_normalization `after_convolution` or `none` with residual blocks, which "
                "have no pooling layer, found after_pool"
            )
        return self


class Head(Section):
    pooling: Literal["average", "max", "flatten"]
    dense: list[Count]
    batch_normalization: bool
    momentum: Share
    dropout: Share


class Penalty(Section):
    l1: NotNegative
    l2: NotNegative


class Regularization(Section):
    kernel: Penalty
    bias: Penalty
    activity: Penalty
