"""Extraction of one image at a time: `predict`, and one bcolz array for each image.

It runs in its own process, with the default threads of TensorFlow. Prints images/s.
"""

import tempfile
from pathlib import Path

import bcolz

from benchmarks.measure import seconds, seedlings
from seedlings.networks.runtime import keras

_IMAGES = 96


def main() -> None:
    pictures = seedlings(_IMAGES)
    vgg16 = keras.applications.vgg16
    network = vgg16.VGG16(include_top=False, weights=None, input_shape=pictures[0].shape)
    network.predict(pictures[0][None].astype("float32"), verbose=0)

    def extract() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for number, picture in enumerate(pictures):
                pixels = vgg16.preprocess_input(picture[None].astype("float32"))
                output = network.predict(pixels, verbose=0)
                bcolz.carray(output, rootdir=str(Path(folder) / str(number)), mode="w").flush()

    print(_IMAGES / seconds(extract, 2))


if __name__ == "__main__":
    main()
