"""Parameters of the section `extract`, and of the architectures in `finetune`."""

from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from seedlings.config.params import Checksum, Count, NotNegative, Section, Share

DRAWN_WIDTH = 0.25  # of VGG16, the one network with drawn weights


class Extract(Section):
    backbone: str
    last: str | None
    cut: str
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

    @field_validator("weights")
    @classmethod
    def _one_network_has_drawn_weights(cls, weights: str, info: ValidationInfo) -> str:
        found = info.data.get("backbone"), info.data.get("width")
        if weights == "drawn" and None not in found and found != ("VGG16", DRAWN_WIDTH):
            raise ValueError(
                f"random, imagenet or a file, as only VGG16 with the width {DRAWN_WIDTH} has drawn "
                f"weights (extract.backbone is {found[0]} and extract.width {found[1]}; all other "
                "backbones need the width 1.0)"
            )
        return weights

    @model_validator(mode="after")
    def _only_vgg16_has_a_width(self) -> Self:
        if self.width != 1.0 and self.backbone != "VGG16":
            raise ValueError(f"width 1.0, as only VGG16 has other widths, found {self.width}")
        if self.width != 1.0 and self.weights == "imagenet":
            raise ValueError(f"width 1.0 with the weights `imagenet`, found {self.width}")
        return self

    @model_validator(mode="after")
    def _own_weights_need_a_checksum(self) -> Self:
        if self.weights not in ("random", "drawn", "imagenet") and self.checksum is None:
            raise ValueError(
                f"a checksum of the weights {self.weights!r}, a file that DVC does not track, "
                "found none (set extract.checksum, or weights to random, drawn or imagenet)"
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
