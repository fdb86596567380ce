"""Ship the weights of this project with the library: `python pretraining/ship.py [FILE]`."""

import sys
from pathlib import Path

from seedlings.errors import SeedlingsError
from seedlings.networks import drawn_weights, models, vgg16
from seedlings.networks.params import DRAWN_WIDTH

OUTPUT = Path(__file__).parent / "output" / "backbone.weights.h5"


def main() -> None:
    """Ship a file of weights, by default the output of this project."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    try:
        ship(source, drawn_weights.FILE)
    except SeedlingsError as error:
        sys.exit(str(error))
    print(f"{drawn_weights.FILE} has the weights of {source}")


def ship(source: Path, target: Path) -> None:
    """Write the weights of a file to `target`, in half precision, and their checksum beside it.

    Raises SeedlingsError, and writes nothing, if the file is missing, or does not have the weights
    of VGG16 with a quarter of its filters.
    """
    if not source.is_file():
        raise SeedlingsError(
            f"expected weights in {source}, found no file; run `dvc repro` in pretraining/ first"
        )
    network = vgg16.build((None, None, 3), DRAWN_WIDTH)
    try:
        models.load_weights(network, source)
    except ValueError as error:
        raise SeedlingsError(
            f"{source} does not have the weights of VGG16 with the width {DRAWN_WIDTH}: {error}"
        ) from error
    drawn_weights.install(network, target)


if __name__ == "__main__":
    main()
