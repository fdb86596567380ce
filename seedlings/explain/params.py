"""Parameters of the section `explain`."""

from typing import Annotated

from pydantic import Field

from seedlings.config.params import Count, NotNegative, Rate, Section, Share


class Explain(Section):
    filters: dict[str, list[Annotated[int, Field(ge=0)]]] | None
    classes: Count
    steps: Count
    rate: Rate
    class_rate: Rate
    jitter: Annotated[int, Field(ge=0)]
    blur: NotNegative
    images: Count
    smoothgrad_samples: Count
    smoothgrad_noise: Share
