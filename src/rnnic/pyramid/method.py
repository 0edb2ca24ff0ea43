"""The pyramid method behind the interface that all methods share."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rnnic.container import Header, TileBox, tile_boxes
from rnnic.errors import FormatError, OptionError
from rnnic.methods import (
    EncodedTiles,
    Memory,
    Method,
    Photos,
    Pixels,
    Progress,
    TileDecoder,
)
from rnnic.model import Model, find_section
from rnnic.options import DEFAULT_QUALITY, EncodeOptions
from rnnic.pyramid.colour import DEPTH_SCALE
from rnnic.pyramid.decoder import decode_prefix, decode_tile
from rnnic.pyramid.format import (
    MAX_STEP,
    MIN_STEP,
    STEP_SCALE,
    PyramidParams,
)
from rnnic.pyramid.model import PyramidModel

__all__ = ["METHOD", "SECTION", "PyramidMethod", "step_of_quality"]

SECTION = "PYRA"
_TILE_MULTIPLE = 32
_TILE_SIZES = (1024, 512, 384)
"""What is tried: small tiles follow an image better, large ones lose less at their borders."""
_TRIED_SIDE = 2048
_TRIAL_EFFORT = 5
_LEAST_TILED_EFFORT = 8


@functools.lru_cache(maxsize=4)
def _load_model(payload: bytes) -> PyramidModel:
    """Return the model of a section's payload; a cache spares reading it for every image."""
    return PyramidModel.from_bytes(payload)


def step_of_quality(quality: float, bit_depth: int = 8) -> float:
    """Return the step size, in 8-bit samples, that stands for a quality of 0 … 100."""
    finest = 0.75 if bit_depth == 8 else MIN_STEP[16] / STEP_SCALE
    return float(finest + 60 * (1 - quality / 100) ** 1.25)


class PyramidMethod(Method):
    """Differences of a binary pyramid, coded with a palette along a trellis; the control is the step."""

    name = "pyramid"
    code = 1
    section = SECTION
    default_tile_size = 1024
    labels = ("zero", "luma only", "chroma only", "luma and chroma", "without loss")
    can_reduce = True
    control_resolution = 2 / STEP_SCALE
    prefix_gives = "coarser levels"
    has_effort = True
    # Medians of training crops.
    photos = Photos(
        (0.25, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0),
        (99.0, 58.7, 52.5, 48.5, 44.5, 40.7, 36.5, 32.1, 28.3, 25.1, 22.6),
        (13.6, 7.1, 4.4, 2.65, 1.6, 1.0, 0.5, 0.24, 0.1, 0.037, 0.018),
        (99.0, 57.5, 51.5, 46.7, 41.6, 38.1, 34.7, 31.7, 29.0, 25.9, 24.4),
        (0.6, 0.46, 0.24, 0.145, 0.125, 0.09, 0.04, 0.1, 0.1, 0.08, 0.06),
        (0.0, -0.74, -0.15, -0.1, 0.06, 0.06, 0.08, 0.06, 0.06, 0.08, 0.05),
    )

    def control_range(self, bit_depth: int) -> tuple[float, float]:
        """Return the least and the greatest step size."""
        return MIN_STEP[bit_depth] / STEP_SCALE, MAX_STEP / STEP_SCALE

    def control(self, options: EncodeOptions, bit_depth: int) -> float:
        """Return the step size that the options ask for."""
        if options.error_threshold is not None:
            raise OptionError(
                "error_threshold is of method raster; method pyramid takes quality or step"
            )
        if options.step is not None:
            least = self.control_range(bit_depth)[0]
            if options.step < least:
                raise OptionError(
                    f"step is {options.step}; it must be at least {least}"
                    f" for samples of {bit_depth} bits"
                )
            return options.step
        quality = DEFAULT_QUALITY if options.quality is None else options.quality
        return step_of_quality(quality, bit_depth)

    def best_tile_size(
        self, pixels: Pixels, control: float, model: Model, options: EncodeOptions
    ) -> int:
        """Return the tile size that suits an image; high efforts try some on its middle."""
        if options.effort < _LEAST_TILED_EFFORT:
            return self.default_tile_size
        from rnnic.pyramid.choice import cost_of  # as in `encode`

        y, x = (max(0, side - _TRIED_SIDE) // 2 for side in pixels.shape[:2])
        middle = np.ascontiguousarray(pixels[y : y + _TRIED_SIDE, x : x + _TRIED_SIDE])
        height, width = middle.shape[:2]
        trial = replace(options, effort=_TRIAL_EFFORT, target_psnr=None, target_bytes=None)
        step = control * DEPTH_SCALE[8 * pixels.itemsize]
        best, least, cuts = self.default_tile_size, math.inf, set[tuple[TileBox, ...]]()
        for size in _TILE_SIZES:
            boxes = tuple(tile_boxes(width, height, size))
            if boxes in cuts:
                continue
            cuts.add(boxes)
            made = self.encode(middle, boxes, control, model, trial, None)
            assert made.reconstruction is not None
            cost = cost_of(middle, made.reconstruction, step, sum(map(len, made.payloads)))
            if cost < least:
                best, least = size, cost
        return best

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
        """Encode an image; `control` is the step size in samples."""
        if options.tile_size is not None and options.tile_size % _TILE_MULTIPLE:
            raise OptionError(
                f"tile_size is {options.tile_size}; method pyramid needs a multiple of {_TILE_MULTIPLE}"
            )
        # Decoding has no need of what encodes, which takes its time to import.
        from rnnic.pyramid.tiles import encode_tiles

        own = _load_model(model.sections[SECTION])
        bit_depth = 8 * pixels.itemsize
        step = min(max(round(control * STEP_SCALE), MIN_STEP[bit_depth]), MAX_STEP)
        return encode_tiles(
            pixels,
            boxes,
            step,
            own,
            options,
            progress,
            reconstruct=reconstruct,
            in_parts=in_parts,
            memory=memory,
        )

    def tile_decoder(self, header: Header, model: Model | None, reduce: int) -> TileDecoder:
        """Return the decoder of a file's tiles."""
        return self._tile_decoder(header, model, reduce, decode_tile)

    def _tile_decoder(
        self, header: Header, model: Model | None, reduce: int, decode_one: Callable[..., Pixels]
    ) -> TileDecoder:
        params = _params_of(header)
        if header.tile_size % _TILE_MULTIPLE:
            raise FormatError(f"tile size {header.tile_size}, not a multiple of {_TILE_MULTIPLE}")
        own = _load_model(find_section(SECTION, header.model_id, model).sections[SECTION])

        def decode(payload: memoryview, box: TileBox, place: TileBox, out: Pixels) -> None:
            window = out[place.y : place.y + place.height, place.x : place.x + place.width]
            decode_one(bytes(payload), box.width, box.height, params, own, reduce, window)

        return decode

    def prefix_decoder(self, header: Header, model: Model | None, reduce: int) -> TileDecoder:
        """Return the decoder of tiles that were cut off: their coarsest levels, smoothly enlarged."""
        return self._tile_decoder(header, model, reduce, decode_prefix)

    def minimum_bytes(self, box: TileBox) -> int:
        """Return the least number of bytes of a tile; a flat one of any size needs hardly more."""
        del box
        return 3

    def describe(self, header: Header) -> dict[str, Any]:
        """Return step size, trellis states and lanes."""
        params = _params_of(header)
        return {
            "step": params.step / STEP_SCALE,
            "states": params.states,
            "lanes": params.lanes,
        }


def _params_of(header: Header) -> PyramidParams:
    return PyramidParams.from_bytes(header.parameters, header.colours, header.bit_depth)


METHOD = PyramidMethod()
