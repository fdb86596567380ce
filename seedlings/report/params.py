"""Parameters of the section `report`."""

from typing import Annotated

from pydantic import Field

from seedlings.config.params import Section


class Report(Section):
    title: Annotated[str, Field(min_length=1)]
    licence: Annotated[str, Field(min_length=1)] | None
