"""Copy the weights of this project into the library: `python pretraining/ship.py [FILE]`."""

import sys
import warnings
from pathlib import Path

from seedlings.errors import SeedlingsError
from seedlings.networks import drawn_weights, vgg16
from seedlings.networks.params import DRAWN_WIDTH

OUTPUT = Path(__file__).parent / "weights" / drawn_weights.FILE.name
_LARGEST = 2_000_000  # bytes


def main() -> None:
    """Ship a file of weights, by default the output of this project."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    try:
        ship(source, drawn_weights.FILE)
    except SeedlingsError as error:
        sys.exit(str(error))
    print(f"{source} is now {drawn_weights.FILE}")


def ship(source: Path, target: Path) -> None:
    """Copy a file of weights to the library's, and write its checksum.

    Raises SeedlingsError, and copies nothing, if the file is missing, larger than 2 MB, or not of
    VGG16 with a quarter of its filters.
    """
    if not source.is_file():
        raise SeedlingsError(
            f"expected weights in {source}, found no file; run `dvc repro` in pretraining/ first"
        )
    if source.stat().st_size > _LARGEST:
        raise SeedlingsError(
            f"{source}: expected at most {_LARGEST} bytes, found {source.stat().st_size}; "
            "write it with seedlings.networks.drawn_weights.write"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Keras only warns about layers without weights
            vgg16.build((None, None, 3), DRAWN_WIDTH).load_weights(source)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise SeedlingsError(
            f"{source} does not have the weights of VGG16 with the width {DRAWN_WIDTH}: {error}"
        ) from error
    drawn_weights.install(source, target)


if __name__ == "__main__":
    main()
