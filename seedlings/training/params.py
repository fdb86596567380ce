"""Parameters of the sections `baseline` and `finetune`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from seedlings.config.params import Count, NotNegative, PositiveShare, Rate, Section, Seed, Share
from seedlings.networks.params import ConvNet, Head, Regularization
from seedlings.training.transformations import Augment


class Baseline(Section):
    epochs: Count
    batch_size: Count
    learning_rate: Rate
    momentum: Share


class Progressive(Section):
    sizes: list[Annotated[list[Annotated[int, Field(ge=8)]], Field(min_length=2, max_length=2)]]
    share: PositiveShare


class Optimizer(Section):
    name: Literal["sgd", "adam", "rmsprop", "adamw", "muon"]
    learning_rate: Rate
    momentum: Share
    beta_1: Share
    beta_2: Share
    epsilon: Rate
    weight_decay: NotNegative
    average_weights: Share


class Schedule(Section):
    name: Literal["constant", "cosine", "exponential"]
    warmup_epochs: Annotated[int, Field(ge=0)]
    final_share: Annotated[float, Field(gt=0.0, le=1.0)]

    @model_validator(mode="after")
    def _only_cosine_warms_up(self) -> Self:
        if self.warmup_epochs and self.name != "cosine":
            raise ValueError(
                f"no warmup_epochs with the schedule {self.name}, found {self.warmup_epochs}"
            )
        return self


class Unfreeze(Section):
    epochs: Annotated[int, Field(ge=0)]
    steps: Count | None
    learning_rate: Rate
    batch_normalization: bool

    @property
    def active(self) -> bool:
        """Whether there is a second phase."""
        return bool(self.epochs or self.steps)


class Finetune(Section):
    seed: Seed | None
    epochs: Count
    steps: Count | None
    batch_size: Count
    replicas: Count
    precision: Literal["float32", "bfloat16", "auto"]
    augment: Augment
    progressive: Progressive
    convnet: ConvNet
    head: Head
    regularization: Regularization
    optimizer: Optimizer
    schedule: Schedule
    label_smoothing: Share
    early_stopping: Count | None
    class_weights: Literal["none", "balanced"]
    calibrate: bool
    unfreeze: Unfreeze

    @model_validator(mode="after")
    def _progressive_resizing_fits_the_rest(self) -> Self:
        if self.progressive.sizes and self.early_stopping is not None:
            raise ValueError(
                "early_stopping null with progressive.sizes, as the loss rises with each new "
                f"size, found {self.early_stopping}"
            )
        if self.progressive.sizes and self.head.pooling == "flatten":
            raise ValueError(
                "head.pooling average or max with progressive.sizes, as the number of pixels "
                "changes, found flatten"
            )
        return self

    @model_validator(mode="after")
    def _replicas_do_not_multiply_penalties(self) -> Self:
        activity = self.regularization.activity
        if self.replicas > 1 and (activity.l1 or activity.l2):
            raise ValueError(
                "replicas 1 with regularization.activity, which each replica would add, found "
                f"{self.replicas}"
            )
        return self
