"""Parameters of the section `segment`."""

from typing import Annotated, Literal

from pydantic import Field

from seedlings.config.params import Section, Share


class Segment(Section):
    method: Literal["excess_green", "color_distance", "none"]
    background: Literal["black", "mean", "dimmed"]
    pixels: Annotated[list[Annotated[int, Field(ge=8, le=4096)]], Field(min_length=2, max_length=2)]
    empty_below: Share
