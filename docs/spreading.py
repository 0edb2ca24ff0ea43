"""Compare the ways of spreading palette entries: ``python docs/spreading.py PHOTO_DIR``.

Trains a model each way on every second photo and codes a sample of the other ones at three thresholds.
Prints bits per pixel at equal PSNR: each result is moved to the PSNR of the grid's by the slope of a
fine quantiser, 6.02 dB a bit and sample.
"""

import sys

import numpy as np

from rnnic.api import encode_image
from rnnic.metrics import psnr
from rnnic.model import Model
from rnnic.options import EncodeOptions
from rnnic.photos import LoadedPhotos, PhotoFolder
from rnnic.raster.spreading import SPREADERS
from rnnic.raster.training import RasterSettings, train

THRESHOLDS = (2.0, 4.0, 8.0)
TEST_PHOTOS = 12


def main(folder: str) -> None:
    """Train, code, print."""
    photos = PhotoFolder(folder, print)
    training = LoadedPhotos([photos.load(index) for index in range(0, len(photos), 2)])
    tested = range(1, len(photos), 2)[:: max(1, len(photos) // 2 // TEST_PHOTOS)]
    base: dict[tuple[int, float], float] = {}
    for spread in SPREADERS:
        settings = RasterSettings(spread=spread, draws=1_000_000, windows=400)
        section = train(training, settings)
        model = Model({"RAST": section.to_bytes()}, {})
        row = []
        for threshold in THRESHOLDS:
            bits = []
            for index in tested:
                pixels = photos.load(index)
                options = EncodeOptions(error_threshold=threshold, model=model)
                encoded = encode_image(pixels, options)
                quality = psnr(encoded.reconstruction, pixels)
                aim = base.setdefault((index, threshold), quality)
                rate = 8 * len(encoded.data) / pixels[:, :, 0].size
                bits.append(rate + 3 * (aim - quality) / 6.02)
            row.append(float(np.mean(bits)))
        print(f"{spread:<8}", "  ".join(f"{value:.3f}" for value in row), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
