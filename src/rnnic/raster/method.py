"""The raster method behind the interface that all methods share."""

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnnic.container import Header, TileBox, window_of
from rnnic.errors import FormatError, OptionError, TruncatedError
from rnnic.methods import (
    EncodedTiles,
    Memory,
    Method,
    Photos,
    Pixels,
    Progress,
    TileDecoder,
    TileTrace,
)
from rnnic.model import Model, find_section
from rnnic.options import DEFAULT_QUALITY, MAX_ERROR_THRESHOLD, EncodeOptions
from rnnic.parallel import map_threads, thread_count
from rnnic.parts import pack_part, split_part
from rnnic.raster.decoder import PIXELS_PER_BYTE, decode_tile
from rnnic.raster.depth import Depth, decode_low, encode_low, joined, plan_depth
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
    prefix_gives = "rows above"
    has_effort = False
    # Medians of training crops.
    photos = Photos(
        (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 128.0),
        (80.0, 56.4, 51.0, 47.9, 46.0, 43.6, 41.7, 38.9, 37.2, 34.3, 32.4, 27.3, 24.0),
        (10.2, 8.5, 5.8, 4.3, 3.6, 2.6, 2.0, 1.5, 1.2, 0.79, 0.63, 0.42, 0.35),
    )

    def control_range(self, bit_depth: int) -> tuple[float, float]:
        """Return the least and the greatest error threshold."""
        del bit_depth
        return 0.0, MAX_ERROR_THRESHOLD

    def control(self, options: EncodeOptions, bit_depth: int) -> float:
        """Return the error threshold that the options ask for."""
        del bit_depth
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
        *,
        reconstruct: bool = True,
        in_parts: bool = False,
        memory: Memory | None = None,
    ) -> EncodedTiles:
        """Encode an image; `control` is the error threshold."""
        del reconstruct, in_parts, memory  # the planner needs it; all encodes are quick
        part = load_model(model.sections[SECTION]).part(pixels.shape[2])
        deep = pixels.dtype == np.uint16
        depth = plan_depth(control) if deep else Depth(0, control)
        parameters = parameters_for(depth.threshold)
        samples = depth.high(pixels) if deep else pixels
        search = None
        if options.neighbors != "exact":
            search = functools.partial(make_search, options.neighbors)
        threads = thread_count(options.threads)
        told = None if progress is None else lambda done: progress(_PLANNING_SHARE * done)
        plan = plan_image(samples, boxes, part, parameters, search, threads, told)
        payloads = write_tiles(plan, boxes, part, parameters, threads)
        reconstruction: Pixels = plan.reconstruction
        if deep:
            whole = parameters_for(control).threshold
            parameters = replace(parameters, threshold=whole, low_step=depth.low_step)
            reconstruction = joined(plan.reconstruction, None, 0)
            if depth.low_step:
                lows = map_threads(
                    lambda box: encode_low(pixels[window_of(box)], depth.low_step), boxes, threads
                )
                payloads = [pack_part(low) + own for low, own in zip(lows, payloads, strict=True)]
                steps = ((pixels & 255) // depth.low_step).astype(np.uint8)
                reconstruction = joined(plan.reconstruction, steps, depth.low_step)
        return EncodedTiles(
            parameters.to_bytes(),
            payloads,
            reconstruction,
            lambda _: [_trace(plan, box, part.sizes) for box in boxes],
        )

    def tile_decoder(self, header: Header, model: Model | None, reduce: int) -> TileDecoder:
        """Return the decoder of a file's tiles."""
        assert reduce == 0
        parameters = RasterParameters.from_bytes(header.parameters, header.bit_depth)
        found = find_section(SECTION, header.model_id, model)
        part = load_model(found.sections[SECTION]).part(header.colours)
        low_step = parameters.low_step

        def decode(payload: memoryview, box: TileBox, place: TileBox, out: Pixels) -> None:
            if low_step is None and out.flags.c_contiguous:
                decode_tile(payload, place, part, parameters, out)
                return
            # Kernels know contiguous arrays of bytes alone.
            shape = (box.height, box.width, header.colours)
            low = None
            if low_step:
                first, payload = split_part(payload)
                low = decode_low(bytes(first), shape, low_step)
            tile = np.empty(shape, np.uint8)
            own = TileBox(0, 0, box.width, box.height)
            decode_tile(payload, own, part, parameters, tile)
            out[window_of(place)] = tile if low_step is None else joined(tile, low, low_step)

        return decode

    def prefix_decoder(self, header: Header, model: Model | None, reduce: int) -> TileDecoder:
        """Return the decoder of tiles that were cut off: the rows that are there, of 8 bits."""
        decode_whole = self.tile_decoder(header, model, reduce)

        def decode(payload: memoryview, box: TileBox, place: TileBox, out: Pixels) -> None:
            if out.dtype != np.uint8:
                raise FormatError("the high bytes come behind the low ones, which are cut off")
            tile = out[window_of(place)].copy()
            with contextlib.suppress(TruncatedError):
                decode_whole(payload, box, TileBox(0, 0, place.width, place.height), tile)
            out[window_of(place)] = tile

        return decode

    def minimum_bytes(self, box: TileBox) -> int:
        """Return the least number of bytes of a tile: a bit for four pixels."""
        return -(-box.width * box.height // PIXELS_PER_BYTE)

    def describe(self, header: Header) -> dict[str, Any]:
        """Return threshold and palette scale."""
        return RasterParameters.from_bytes(header.parameters, header.bit_depth).describe()


def _trace(plan: Plan, box: TileBox, sizes: tuple[int, int, int, int]) -> TileTrace:
    """Spread the symbols of a tile's plan over the pixels that they code."""
    window = window_of(box)
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
