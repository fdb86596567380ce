"""Parameters of the section `evaluate`."""

from typing import Annotated, Literal

from pydantic import Field

from seedlings.config.params import Count, PositiveShare, Section


class Evaluate(Section):
    split: Literal["test", "validation"]
    bootstrap_samples: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)]
    calibration_bins: Annotated[int, Field(ge=2)]
    tag_threshold: PositiveShare
    mistakes: Count
    doubtful_labels: Annotated[int, Field(ge=0)]
