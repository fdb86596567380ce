"""Parameters of the section `package`."""

from typing import Literal

from seedlings.config.params import Section, Share


class Package(Section):
    tta: Literal[1, 2, 4, 8]
    out_of_distribution_share: Share
