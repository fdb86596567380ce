"""Parameters of the section `package`."""

from seedlings.config.params import Section, Share


class Package(Section):
    out_of_distribution_share: Share
