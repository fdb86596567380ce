"""Parameters of the section `explain`."""

from typing import Annotated

from pydantic import AfterValidator, Field

from seedlings.config.params import Count, NotNegative, Rate, Section, Share


def _sorted(layers: dict[str, list[int]]) -> dict[str, list[int]]:
    """Return the layers by name: to DVC, their order in the file means nothing."""
    return dict(sorted(layers.items()))


Filters = Annotated[dict[str, list[Annotated[int, Field(ge=0)]]], AfterValidator(_sorted)]


class Explain(Section):
    filters: Filters | None
    classes: Count
    steps: Count
    rate: Rate
    class_rate: Rate
    jitter: Annotated[int, Field(ge=0)]
    blur: NotNegative
    images: Count
    smoothgrad_samples: Count
    smoothgrad_noise: Share
