"""What each part of method pyramid is worth: ``python docs/ablations.py IMAGE ...`` prints tables.

Every variant codes the images at several steps; its bytes are compared at the PSNR that the default has
at `STEP`, by interpolation. Decoding is timed in turns with the default, one thread.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
from PIL import Image

from rnnic.metrics import psnr
from rnnic.model import default_model
from rnnic.options import EncodeOptions
from rnnic.pyramid import encoder
from rnnic.pyramid.colour import Colour, choose_colour
from rnnic.pyramid.decoder import decode_tile
from rnnic.pyramid.encoder import encode_tile, states_for_effort
from rnnic.pyramid.fit import DEFAULT_COLOUR
from rnnic.pyramid.format import PyramidParams
from rnnic.pyramid.method import METHOD
from rnnic.pyramid.model import PyramidModel
from rnnic.pyramid.search import DEFAULT_LAMBDA
from rnnic.pyramid.tiles import LANES

Pixels = npt.NDArray[np.uint8]
STEP = 5.5
AROUND = (0.8, 1.0, 1.25)
TURNS = 5


@dataclass(frozen=True)
class Variant:
    """A way of coding that differs from the default in one thing."""

    name: str
    effort: int = 5
    states: int | None = None
    lanes: int = LANES
    tune: bool = True
    weight: float = DEFAULT_LAMBDA
    tile: int | None = 1024
    colour: bool = True
    turns: int | None = None


DEFAULT = Variant("default: effort 5")
VARIANTS = (
    Variant("colour matrix fixed, not the tile's own", colour=False),
    Variant("filters and weights of the model, not the tile's own", tune=False),
    Variant("filters of the tile fitted a second time", turns=2),
    Variant("one state instead of eight (scalar palette)", states=1),
    Variant("16 states", states=16),
    Variant("nearest entry, hardly minding its bits (lambda 0.005)", weight=0.005),
    Variant("lambda 0.08", weight=0.08),
    Variant("lambda 0.16", weight=0.16),
    Variant("1 lane", lanes=1),
    Variant("2 lanes", lanes=2),
    Variant("tiles of 256", tile=256),
    Variant("tiles of 512", tile=512),
)
EFFORTS = tuple(Variant(f"effort {effort}", effort=effort, tile=None) for effort in range(1, 10))


def tiles_of(image: Pixels, size: int) -> Iterator[Pixels]:
    """Yield an image's tiles."""
    for y in range(0, image.shape[0], size):
        for x in range(0, image.shape[1], size):
            yield image[y : y + size, x : x + size]


def coded(image: Pixels, variant: Variant, model: PyramidModel, step: float) -> list[Any]:
    """Return data, pixels, parameters and reconstruction of every tile."""
    params = PyramidParams(
        round(1024 * step),
        variant.states or states_for_effort(variant.effort),
        variant.lanes,
        image.shape[2],
    )
    fixed = np.array(DEFAULT_COLOUR, np.int32).reshape(3, 3)
    patches = []

    def with_fixed_colours(pixels: Pixels, step: int, *, thorough: bool) -> Colour:
        return choose_colour(pixels, step, thorough=thorough)._replace(matrix=fixed)

    if not variant.colour:
        patches.append(mock.patch.object(encoder, "choose_colour", with_fixed_colours))
    if variant.turns is not None:
        patches.append(mock.patch.object(encoder, "turns_for_effort", return_value=variant.turns))
    for patch in patches:
        patch.start()
    try:
        found = []
        options = EncodeOptions(step=step, effort=variant.effort)
        size = variant.tile or METHOD.best_tile_size(image, step, default_model(), options)
        for tile in tiles_of(image, size):
            data, rebuilt = encode_tile(
                tile, params, model, variant.effort, tune=variant.tune, weight=variant.weight
            )
            found.append((data, tile, params, rebuilt))
        return found
    finally:
        for patch in patches:
            patch.stop()


def bytes_at(image: Pixels, variant: Variant, model: PyramidModel, goal: float) -> float:
    """Return the bytes at a PSNR."""
    points = []
    for factor in AROUND:
        found = coded(image, variant, model, STEP * factor)
        error = sum(np.square(tile.astype(float) - rebuilt).sum() for _, tile, _, rebuilt in found)
        quality = 10 * np.log10(255**2 * image.size / error)
        points.append((quality, np.log(sum(len(data) for data, *_ in found))))
    points.sort()
    quality, sizes = zip(*points, strict=True)
    return float(np.exp(np.polyval(np.polyfit(quality, sizes, 2), goal)))


def decoding_time(image: Pixels, variant: Variant, model: PyramidModel) -> Callable[[], float]:
    """Return a function that decodes the image and tells the seconds."""
    found = coded(image, variant, model, STEP)

    def run() -> float:
        started = time.perf_counter()
        for data, tile, params, _ in found:
            decode_tile(data, tile.shape[1], tile.shape[0], params, model)
        return time.perf_counter() - started

    return run


def encoding_time(image: Pixels, variant: Variant, model: PyramidModel) -> float:
    """Return the seconds that the image takes."""
    started = time.perf_counter()
    coded(image, variant, model, STEP)
    return time.perf_counter() - started


def main() -> None:
    """Print the tables."""
    images = [np.asarray(Image.open(Path(name)).convert("RGB")) for name in sys.argv[1:]]
    model = PyramidModel.from_bytes(default_model().sections["PYRA"])
    base = []
    for image in images:
        found = coded(image, DEFAULT, model, STEP)
        whole = replace(DEFAULT, tile=1 << 13)
        goal = psnr(coded(image, whole, model, STEP)[0][3], image)
        base.append((bytes_at(image, DEFAULT, model, goal), goal))
        assert found
    mean = np.mean([goal for _, goal in base])
    print(f"{len(images)} images, PSNR {mean:.1f} dB in the mean\n")
    for variants in (VARIANTS, EFFORTS):
        print("| variant | bytes | encoding time | decoding time |")
        print("|---|---|---|---|")
        for variant in variants:
            sizes, encoding, decoding = [], [], []
            for image, (size, goal) in zip(images, base, strict=True):
                sizes.append(bytes_at(image, variant, model, goal) / size)
                encoding.append(
                    encoding_time(image, variant, model) / encoding_time(image, DEFAULT, model)
                )
                ours = decoding_time(image, variant, model)
                theirs = decoding_time(image, DEFAULT, model)
                ratios = [ours() / theirs() for _ in range(TURNS)]
                decoding.append(np.median(ratios))
            change = 100 * (np.exp(np.mean(np.log(sizes))) - 1)
            print(
                f"| {variant.name} | {change:+.1f} % | x {np.median(encoding):.2f}"
                f" | x {np.median(decoding):.2f} |",
                flush=True,
            )
        print()


if __name__ == "__main__":
    main()
