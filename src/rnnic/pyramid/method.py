"""The pyramid method behind the interface that all methods share."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnnic.container import Header, TileBox, tile_boxes, window_of
from rnnic.errors import FormatError, OptionError
from rnnic.methods import (
    EncodedTiles,
    Memory,
    Method,
    Photos,
    Pixels,
    Progress,
    TileDecoder,
    TileTrace,
    Touch,
)
from rnnic.model import Model, find_section
from rnnic.options import DEFAULT_QUALITY, EncodeOptions
from rnnic.parallel import map_threads, thread_count
from rnnic.pyramid.choice import BestTile, TileMemory, cost_of
from rnnic.pyramid.colour import DEPTH_SCALE
from rnnic.pyramid.decoder import decode_base_plane, decode_tile
from rnnic.pyramid.encoder import DEFAULT_LAMBDA, encode_tile, states_for_effort
from rnnic.pyramid.format import (
    EXACT,
    MAX_STEP,
    MIN_STEP,
    STEP_SCALE,
    Pass,
    PyramidParams,
    lane_rows,
)
from rnnic.pyramid.model import PyramidModel
from rnnic.pyramid.search import EXACT as EXACT_SEARCH
from rnnic.search import make_search

__all__ = ["METHOD", "SECTION", "PyramidMethod", "step_of_quality"]

SECTION = "PYRA"
LANES = 4
_TILE_MULTIPLE = 32
_EXACT_LABEL = 4
_GROUPS = 10
_Work = Callable[[TileBox, float], tuple[bytes, Pixels]]
_TILE_SIZES = (1024, 512, 384)
"""What is tried: small tiles follow an image better, large ones lose less at their borders."""
_TRIED_SIDE = 2048
_TRIAL_EFFORT = 5
_LEAST_TILED_EFFORT = 8
_KEPT_PIXELS = 1 << 22
"""Tile encoders of images up to this size are kept while a target is searched; 40 bytes a pixel."""


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
        (0.25, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0),
        (99.0, 58.7, 52.5, 48.5, 44.5, 40.7, 36.5, 32.1, 28.3),
        (13.6, 7.1, 4.4, 2.65, 1.6, 1.0, 0.5, 0.24, 0.1),
        (0.6, 0.58, 0.15, 0.18, 0.21, 0.13, 0.13, 0.17, 0.1),
        (0.0, 0.0, -0.3, 0.06, 0.05, 0.17, 0.17, 0.16, 0.1),
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
        rough: bool = False,
        in_parts: bool = False,
        memory: Memory | None = None,
    ) -> EncodedTiles:
        """Encode an image; `control` is the step size in samples."""
        if options.neighbors != EXACT_SEARCH:
            make_search(options.neighbors)  # refuses what is none
        if options.tile_size is not None and options.tile_size % _TILE_MULTIPLE:
            raise OptionError(
                f"tile_size is {options.tile_size}; method pyramid needs a multiple of {_TILE_MULTIPLE}"
            )
        own = _load_model(model.sections[SECTION])
        effort = options.effort
        channels = pixels.shape[2]
        bit_depth = 8 * pixels.itemsize
        step = min(max(round(control * STEP_SCALE), MIN_STEP[bit_depth]), MAX_STEP)
        params = PyramidParams(step, states_for_effort(effort), LANES, channels, bit_depth)
        targeted = options.has_target
        keep = targeted and pixels.shape[0] * pixels.shape[1] <= _KEPT_PIXELS
        reconstruction = np.empty_like(pixels) if reconstruct or targeted else None
        kept: dict[TileBox, BestTile] = {}
        done = 0

        def start(box: TileBox) -> BestTile:
            tile = pixels[window_of(box)]
            known = TileMemory(tile)
            if memory is not None:
                known = memory.setdefault(box, known)
            return BestTile(
                tile,
                params,
                own,
                effort,
                options.neighbors,
                exact=options.exact_tiles,
                tune=not rough,
                hints=keep,
                memory=known,
            )

        left = in_parts and keep and all(start(box).has_parts for box in boxes)

        def encode_box(box: TileBox) -> bytes:
            nonlocal done
            encoder = start(box)
            data = b""
            if left:
                encoder.begin()
            else:
                data, rebuilt = encoder.encode()
                if reconstruction is not None:
                    reconstruction[window_of(box)] = rebuilt
            if keep:
                kept[box] = encoder
            done += 1
            if progress is not None:
                progress(done / len(boxes))
            return data

        threads = thread_count(options.threads)
        payloads = map_threads(encode_box, boxes, threads)

        def trace() -> list[TileTrace]:
            return [
                _trace(pixels, box, params, own, options, payload)
                for box, payload in zip(boxes, payloads, strict=True)
            ]

        drawn = any(int.from_bytes(payload[:2], "little") == EXACT for payload in payloads)
        tiles = EncodedTiles(
            params.to_bytes(), payloads, reconstruction, trace, drawn=drawn, left=left
        )
        if not targeted:
            return tiles
        if keep:
            return replace(tiles, touch=_TouchLanes(boxes, tiles, threads, LANES, kept))
        return replace(tiles, touch=_TouchTiles(boxes, tiles, threads, _GROUPS, start))

    def tile_decoder(self, header: Header, model: Model | None, reduce: int) -> TileDecoder:
        """Return the decoder of a file's tiles."""
        return self._tile_decoder(header, model, reduce, decode_tile)

    def _tile_decoder(
        self, header: Header, model: Model | None, reduce: int, decode_one: Callable[..., Pixels]
    ) -> TileDecoder:
        params = PyramidParams.from_bytes(header.parameters)
        if params.channels != header.colours or params.bit_depth != header.bit_depth:
            raise FormatError("the header and its parameters disagree on the pixel format")
        if header.tile_size % _TILE_MULTIPLE:
            raise FormatError(f"tile size {header.tile_size}, not a multiple of {_TILE_MULTIPLE}")
        own = _load_model(find_section(SECTION, header.model_id, model).sections[SECTION])

        def decode(payload: memoryview, box: TileBox, place: TileBox, out: Pixels) -> None:
            window = out[place.y : place.y + place.height, place.x : place.x + place.width]
            decode_one(bytes(payload), box.width, box.height, params, own, reduce, window)

        return decode

    def prefix_decoder(self, header: Header, model: Model | None, reduce: int) -> TileDecoder:
        """Return the decoder of tiles that were cut off: their base plane, smoothly enlarged."""
        return self._tile_decoder(header, model, reduce, decode_base_plane)

    def minimum_bytes(self, box: TileBox) -> int:
        """Return the least number of bytes of a tile; a flat one of any size needs hardly more."""
        del box
        return 3

    def describe(self, header: Header) -> dict[str, Any]:
        """Return step size, trellis states and lanes."""
        params = PyramidParams.from_bytes(header.parameters)
        return {
            "step": params.step / STEP_SCALE,
            "states": params.states,
            "lanes": params.lanes,
        }


@dataclass
class _Touch(Touch):
    """What ways of coding parts anew share."""

    boxes: Sequence[TileBox]
    tiles: EncodedTiles
    threads: int
    parts: int
    biases: list[float] = field(init=False)
    _done: set[int] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.biases = [0.0] * self.parts

    def _with(self, part: int, chosen: Iterable[int], work: _Work, bias: float) -> EncodedTiles:
        """Return the tiles, those chosen for a part as `work` codes them."""
        assert self.tiles.reconstruction is not None
        payloads, rebuilt = list(self.tiles.payloads), self.tiles.reconstruction.copy()
        weight = DEFAULT_LAMBDA * math.exp(bias)

        def code(index: int) -> None:
            box = self.boxes[index]
            payloads[index], rebuilt[window_of(box)] = work(box, weight)

        map_threads(code, chosen, self.threads)
        self.biases[part] = bias
        self._done.add(part)
        left = self.tiles.left and len(self._done) < self.parts
        self.tiles = replace(
            self.tiles, payloads=payloads, reconstruction=rebuilt, touch=self, left=left
        )
        return self.tiles


@dataclass
class _TouchTiles(_Touch):
    """Codes groups of tiles anew, all passes of them."""

    start: Callable[[TileBox], BestTile]
    strength = 2.0

    def code(self, part: int, bias: float) -> EncodedTiles:
        """Code a group of tiles with another weight of bits."""
        chosen = range(part, len(self.boxes), self.parts)
        return self._with(part, chosen, lambda box, weight: self.start(box).encode(weight), bias)

    def places(self, part: int) -> list[TileBox]:
        """Return the tiles of a group."""
        return list(self.boxes[part :: self.parts])

    def hints(self, part: int) -> tuple[float, float]:
        """Return nothing of use: groups of tiles are not left."""
        del part
        return 0.0, 0.0


@dataclass
class _TouchLanes(_Touch):
    """Codes the same lane of all tiles anew, their finest pass."""

    kept: dict[TileBox, BestTile]
    strength = 1.0

    def code(self, part: int, bias: float) -> EncodedTiles:
        """Code a lane with another weight of bits."""
        chosen = range(len(self.boxes))
        return self._with(
            part, chosen, lambda box, weight: self.kept[box].again(weight, part), bias
        )

    def places(self, part: int) -> list[TileBox]:
        """Return the rows of all tiles that are a lane's."""
        found = []
        for box in self.boxes:
            rows = self.kept[box].rows_of(part)
            place = box._replace(y=box.y + rows.start, height=rows.stop - rows.start)
            if place.height > 0:
                found.append(place)
        return found

    def hints(self, part: int) -> tuple[float, float]:
        """Return the sums over all tiles."""
        first, second = np.sum([tile.hints[:, part] for tile in self.kept.values()], axis=0)
        return float(first), float(second)


def _trace(
    pixels: Pixels,
    box: TileBox,
    params: PyramidParams,
    model: PyramidModel,
    options: EncodeOptions,
    payload: bytes,
) -> TileTrace:
    """Encode a tile again and look at its finest pass: which components have a residual.

    A pair's label and a number made of its residual stand for both of its pixels.
    """
    labels = np.zeros((box.height, box.width), np.uint8)
    entries = np.zeros((box.height, box.width), np.int32)
    if int.from_bytes(payload[:2], "little") == EXACT:
        return TileTrace(box.x, box.y, labels + np.uint8(_EXACT_LABEL), entries - 1)

    def look(step: Pass, state: dict[str, Any]) -> None:
        if step.level > 0:
            return
        strips = lane_rows(step.rows, params.lanes)
        found = [lane[:, 1 : 1 + n] for lane, n in zip(state["lanes"], strips, strict=True)]
        residuals = np.concatenate(found, axis=1)[:, :, 1 : 1 + step.columns].astype(np.int64)
        residuals = residuals[: params.channels]
        luma = residuals[0] != 0
        chroma = (residuals[1:] != 0).any(axis=0)
        number = (residuals * np.array([1, 4099, 65537])[: len(residuals), None, None]).sum(axis=0)
        covered = np.s_[:, : 2 * step.columns]
        labels[covered] = np.repeat(luma + 2 * chroma, 2, axis=1)
        entries[covered] = np.repeat(number & 0x7FFFFFFF, 2, axis=1)

    window = window_of(box)
    # The choice of `BestTile` is not kept with the payload: the bytes tell which one it was.
    given = pixels[window], params, model, options.effort, options.neighbors
    for tune in (True, False):
        if encode_tile(*given, tune=tune, sink=look)[0] == payload:
            break
    return TileTrace(box.x, box.y, labels, entries)


METHOD = PyramidMethod()
