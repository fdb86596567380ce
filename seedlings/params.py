"""All parameters: the sections of params.yaml, and the rules between them."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from seedlings.config import params
from seedlings.config.params import Section, Seed, one_of
from seedlings.data.params import Data, Split
from seedlings.evaluation.params import Evaluate
from seedlings.explain.params import Explain
from seedlings.networks import applications
from seedlings.networks.params import Extract
from seedlings.packaging.params import Package
from seedlings.report.params import Report
from seedlings.segmentation.params import Segment
from seedlings.training.params import Baseline, Finetune


class Params(Section):
    """The parameters in params.yaml."""

    composed_from: str
    task: Annotated[str, one_of("seedlings.tasks:TASKS")]
    seed: Seed
    threads: Annotated[int, Field(ge=1, le=256)]
    portable: bool
    data: Data
    split: Split
    segment: Segment
    extract: Extract
    baseline: Baseline
    finetune: Finetune
    evaluate: Evaluate
    package: Package
    explain: Explain
    report: Report

    @model_validator(mode="after")
    def _sections_fit_each_other(self) -> Self:
        from seedlings.tasks import TASKS  # imports pandas, which the command line does without

        if not TASKS[self.task].has_classes:
            if self.split.rule == "per_class":
                raise ValueError(f"split.rule `share`, as {self.task} has no classes")
            if self.data.annotations.file is None:
                raise ValueError(
                    "data.annotations.file to name the labels, as folders cannot have the labels "
                    f"of the task {self.task}"
                )
            if self.finetune.class_weights != "none":
                raise ValueError(f"finetune.class_weights `none`, as {self.task} has no classes")
        if self.data.annotations.file is not None and self.split.rule == "folders":
            raise ValueError("split.rule `share` or `per_class`, as annotations name no splits")
        if self.finetune.augment.random_crop and self.extract.center_crop is None:
            raise ValueError(
                "extract.center_crop to say how large the crop is, as finetune.augment.random_crop "
                "is set: training crops at a random place, prediction at the centre"
            )
        if self.finetune.progressive.sizes and (
            not self.extract.from_scratch
            or self.extract.center_crop is not None
            or any(self.extract.cropping)
        ):
            raise ValueError(
                "finetune.progressive.sizes [], or extract.backbone `none` without cropping and "
                "center_crop, as only a network from scratch trains on images of several sizes"
            )
        if self.finetune.convnet.whitened and not self.extract.from_scratch:
            raise ValueError(
                "finetune.convnet.whitened false, or extract.backbone `none`, as the first "
                "convolution of a backbone has weights already"
            )
        if self.extract.pooling == "average":
            if self.finetune.convnet.stem_filters or self.finetune.convnet.filters:
                raise ValueError(
                    "finetune.convnet without stem_filters and filters, or extract.pooling `none`, "
                    "as pooled features are no maps"
                )
            if self.finetune.head.pooling != "average":
                raise ValueError(
                    "finetune.head.pooling `average`, or extract.pooling `none`, as features are "
                    f"pooled by their averages already, found {self.finetune.head.pooling}"
                )
        height, width = self.segment.pixels
        if any(size[0] > height or size[1] > width for size in self.finetune.progressive.sizes):
            raise ValueError(
                f"finetune.progressive.sizes of at most {height} x {width} (segment.pixels), "
                f"found {self.finetune.progressive.sizes}"
            )
        if self.threads % self.finetune.replicas:
            raise ValueError(
                f"finetune.replicas that divides threads, which is {self.threads}, as each "
                f"replica has its own threads, found {self.finetune.replicas}"
            )
        if self.portable and self.finetune.precision != "float32":
            raise ValueError(
                "finetune.precision `float32`, or `portable: false`, as results in bfloat16 depend "
                "on the type of the processor"
            )
        if applications.find(self.extract.backbone).preset:
            if self.portable:
                raise ValueError(
                    f"`portable: false` with extract.backbone {self.extract.backbone}, as results "
                    "of a network of KerasHub depend on the type of the processor, found true"
                )
            if self.finetune.precision != "float32":
                raise ValueError(
                    f"finetune.precision `float32` with extract.backbone {self.extract.backbone}, "
                    "as layers of KerasHub are not converted to bfloat16, found "
                    f"{self.finetune.precision}"
                )
        if self.package.tta == 8 and height != width:
            raise ValueError(
                "package.tta 1, 2 or 4, as segment.pixels is not square and 8 copies are also "
                f"turned by 90 degrees (the size is {height} x {width})"
            )
        if not self._crops_are_the_same_in_all_copies:
            raise ValueError(
                "package.tta 1, or the same extract.cropping at both sides (2 copies), also above "
                "and below (4), at all sides and with a square center_crop (8), as each copy is "
                f"cropped; found {self.package.tta} copies, cropping {self.extract.cropping} and "
                f"center_crop {self.extract.center_crop}"
            )
        return self

    @property
    def _crops_are_the_same_in_all_copies(self) -> bool:
        top, bottom, left, right = self.extract.cropping
        height, width = self.extract.center_crop or (1, 1)
        copies = self.package.tta
        return (
            (copies < 2 or left == right)
            and (copies < 4 or top == bottom)
            and (copies < 8 or (top == left and height == width))
        )


def load() -> Params:
    """Return the parameters in params.yaml. Raises SeedlingsError as `check` does."""
    return check(params.read())


def check(tree: Any) -> Params:
    """Return validated Params from a tree of plain values.

    Raises SeedlingsError that names the full key of each invalid value, the value, and what is
    allowed.
    """
    return params.check(tree, Params)
