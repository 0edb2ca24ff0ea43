"""The raster method behind the interface that all methods share."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnic.container import Header, TileBox
from rnnic.errors import OptionError
from rnnic.methods import EncodedTiles, Method, Pixels, Progress, TileDecoder, TileTrace
from rnnic.model import Model, find_section
from rnnic.options import DEFAULT_QUALITY, MAX_ERROR_THRESHOLD, EncodeOptions
from rnnic.parallel import thread_count
from rnnic.raster.decoder import PIXELS_PER_BYTE, decode_tile
from rnnic.raster.encoder import Plan, parameters_for, plan_image, write_tiles
from rnnic.raster.model import SECTION, STRING_LENGTHS
from rnnic.raster.tables import RasterParameters, load_model
from rnnic.search import make_search

__all__ = ["METHOD", "RasterMethod", "threshold_of_quality"]

_PLANNING_SHARE = 0.9


def threshold_of_quality(quality: float) -> float:
    """Return the error threshold that stands for a quality of 0 … 100; 100 is lossless."""
    return 0.4 * (100.0 - quality)


class RasterMethod(Method):
    """The method as published, with `error_threshold` as its one control."""

    name = "raster"
    code = 0
    section = SECTION
    default_tile_size = 512
    labels = ("string of 4", "string of 2", "small palette", "large palette", "literal")
    can_reduce = False
    control_resolution = 1 / 64
    has_effort = False
    control_range = (0.0, MAX_ERROR_THRESHOLD)

    def control(self, options: EncodeOptions) -> float:
        """Return the error threshold that the options ask for."""
        if options.step is not None:
            raise OptionError("step is of method pyramid; method raster takes error_threshold")
        if options.error_threshold is not None:
            return options.error_threshold
        quality = DEFAULT_QUALITY if options.quality is None else options.quality
        return threshold_of_quality(quality)

    def encode(
        self,
        pixels: Pixels,
        boxes: Sequence[TileBox],
        control: float,
        model: Model,
        options: EncodeOptions,
        progress: Progress | None,
    ) -> EncodedTiles:
        """Encode an image; `control` is the error threshold."""
        part = load_model(model.sections[SECTION]).part(pixels.shape[2])
        parameters = parameters_for(control)
        search = None
        if options.neighbors != "exact":
            search = functools.partial(make_search, options.neighbors)
        threads = thread_count(options.threads)
        told = None if progress is None else lambda done: progress(_PLANNING_SHARE * done)
        plan = plan_image(pixels, boxes, part, parameters, search, threads, told)
        payloads = write_tiles(plan, boxes, part, parameters, threads)
        return EncodedTiles(
            parameters.to_bytes(),
            payloads,
            plan.reconstruction,
            lambda: [_trace(plan, box, part.sizes) for box in boxes],
        )

    def tile_decoder(self, header: Header, model: Model | None, reduce: int) -> TileDecoder:
        """Return the decoder of a file's tiles."""
        assert reduce == 0
        parameters = RasterParameters.from_bytes(header.parameters)
        found = find_section(SECTION, header.model_id, model)
        part = load_model(found.sections[SECTION]).part(header.channels)

        def decode(payload: memoryview, box: TileBox, place: TileBox, out: Pixels) -> None:
            del box
            decode_tile(payload, place, part, parameters, out)

        return decode

    def minimum_bytes(self, box: TileBox) -> int:
        """Return the least number of bytes of a tile: a bit for four pixels."""
        return -(-box.width * box.height // PIXELS_PER_BYTE)

    def describe(self, parameters: bytes) -> dict[str, Any]:
        """Return threshold and palette scale."""
        return RasterParameters.from_bytes(parameters).describe()


def _trace(plan: Plan, box: TileBox, sizes: tuple[int, int, int, int]) -> TileTrace:
    """Spread the symbols of a tile's plan over the pixels that they code."""
    window = np.s_[box.y : box.y + box.height, box.x : box.x + box.width]
    symbols, extras = plan.symbols[window], plan.extras[window]
    columns = np.where(symbols >= 0, np.arange(box.width, dtype=np.int32), 0)
    start = np.maximum.accumulate(columns, axis=1)
    symbols = np.take_along_axis(symbols, start, axis=1)
    bases = np.concatenate([[0], np.cumsum(sizes[:3]), [sum(sizes[:3]) + 1]])
    labels = np.searchsorted(bases, symbols, side="right") - 1
    entries = symbols - bases[labels]
    large, literal = len(STRING_LENGTHS) - 1, len(STRING_LENGTHS)
    entries = np.where(labels == large, extras, np.where(labels == literal, -1, entries))
    return TileTrace(box.x, box.y, labels.astype(np.uint8), entries.astype(np.int32))


METHOD = RasterMethod()
