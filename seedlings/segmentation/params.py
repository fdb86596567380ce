"""Parameters of the section `segment`."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from seedlings.config.params import Section, Share

Fit = Literal["stretch", "crop", "pad"]
FITS = get_args(Fit)


class Segment(Section):
    method: Literal["excess_green", "color_distance", "none"]
    background: Literal["black", "mean", "dimmed"]
    pixels: Annotated[list[Annotated[int, Field(ge=8, le=4096)]], Field(min_length=2, max_length=2)]
    fit: Fit
    empty_below: Share
