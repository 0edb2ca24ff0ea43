"""Encodes the tiles of an image, and parts of them again."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rnnic.container import TileBox, window_of
from rnnic.methods import EncodedTiles, Memory, Pixels, Progress, TileTrace, Touch
from rnnic.options import EncodeOptions
from rnnic.parallel import map_threads, thread_count
from rnnic.pyramid.choice import BestTile, TileMemory
from rnnic.pyramid.decoder import finest_residuals
from rnnic.pyramid.encoder import FEW_BITS, states_for_effort
from rnnic.pyramid.format import EXACT, PyramidParams
from rnnic.pyramid.model import PyramidModel
from rnnic.pyramid.search import DEFAULT_LAMBDA
from rnnic.pyramid.search import EXACT as EXACT_SEARCH
from rnnic.search import make_search

__all__ = ["LANES", "encode_tiles"]

LANES = 4
_EXACT_LABEL = 4
_LEAST_GROUPS, _MOST_GROUPS, _TILES_OF_GROUP = 4, 8, 4
"""Small groups land nearer to a target, threads share the tiles of one."""
_SHARE_OF_BITS = 2 / 3
"""The finest levels do this power of their share of the bits: more of those are hardly worth it."""
_Work = Callable[[TileBox, float], tuple[bytes, Pixels]]
_KEPT_PIXELS = 1 << 22
"""Tile encoders of images up to this size are kept while a target is searched; 40 bytes a pixel, 60 in those
of few bits."""


def encode_tiles(
    pixels: Pixels,
    boxes: Sequence[TileBox],
    step: int,
    model: PyramidModel,
    options: EncodeOptions,
    progress: Progress | None,
    *,
    reconstruct: bool,
    in_parts: bool,
    memory: Memory | None,
) -> EncodedTiles:
    """Encode an image with a step size in 1/1024 sample; see `rnnic.methods.Method.encode`."""
    if options.neighbors != EXACT_SEARCH:
        make_search(options.neighbors)  # refuses what is none
    effort = options.effort
    channels, bit_depth = pixels.shape[2], 8 * pixels.itemsize
    params = PyramidParams(step, states_for_effort(effort), LANES, channels, bit_depth)
    targeted = options.has_target
    keep = targeted and pixels.shape[0] * pixels.shape[1] <= _KEPT_PIXELS
    reconstruction = np.empty_like(pixels) if reconstruct or targeted else None
    kept: dict[TileBox, BestTile] = {}
    done = 0

    def start(box: TileBox) -> BestTile:
        tile = pixels[window_of(box)]
        if memory is None:
            known = TileMemory(tile)
        else:
            known = memory.tiles.setdefault(box, TileMemory(tile, sample=memory.sample))
            known.usual = memory.usual
        return BestTile(
            tile,
            params,
            model,
            effort,
            options.neighbors,
            exact=options.exact_tiles,
            kept=keep,
            memory=known,
        )

    def in_one_way(box: TileBox) -> bool:
        best = start(box)
        return best.has_parts if keep else not best.may_be_exact

    left = in_parts and targeted and all(map(in_one_way, boxes))

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
    # Groups of tiles are left as a whole, lanes of tiles after the coarser passes.
    nothing = left and not keep
    payloads = [b""] * len(boxes) if nothing else map_threads(encode_box, boxes, threads)

    def trace(payloads: Sequence[bytes]) -> list[TileTrace]:
        return [
            _trace(box, params, model, payload)
            for box, payload in zip(boxes, payloads, strict=True)
        ]

    drawn = any(int.from_bytes(payload[:2], "little") == EXACT for payload in payloads)
    tiles = EncodedTiles(params.to_bytes(), payloads, reconstruction, trace, drawn=drawn, left=left)
    if not targeted:
        return tiles
    if keep:
        return replace(tiles, touch=_TouchLanes(boxes, tiles, threads, LANES, kept))
    groups = min(max(len(boxes) // _TILES_OF_GROUP, _LEAST_GROUPS), _MOST_GROUPS, len(boxes))
    return replace(tiles, touch=_TouchTiles(boxes, tiles, threads, groups, start, progress))


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
    progress: Progress | None
    strength = 2.0
    hinting = False

    def code(self, part: int, bias: float) -> EncodedTiles:
        """Code a group of tiles with another weight of bits."""
        first = self.tiles.left
        chosen = range(part, len(self.boxes), self.parts)
        coded = self._with(part, chosen, lambda box, weight: self.start(box).encode(weight), bias)
        if first and self.progress is not None:
            self.progress(len(self._done) / self.parts)
        return coded

    def places(self, part: int) -> list[TileBox]:
        """Return the tiles of a group."""
        return list(self.boxes[part :: self.parts])


@dataclass
class _TouchLanes(_Touch):
    """Codes the same lane of all tiles anew, their finest pass."""

    kept: dict[TileBox, BestTile]
    strength = 1.0
    hinting = True

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

    def deepened(self) -> EncodedTiles | None:
        """Return the image with levels to code, unless there are no residuals, or too many."""
        levels = np.sum([tile.bits_of_levels() for tile in self.kept.values()], axis=0)
        pixels = sum(box.width * box.height for box in self.boxes)
        if not levels.any() or levels.sum() > FEW_BITS * pixels:
            return None
        shares = (np.cumsum(levels) / levels.sum()) ** _SHARE_OF_BITS
        deep = _TouchLevels(
            self.boxes, self.tiles, self.threads, len(levels), self.kept, shares.tolist()
        )
        deep.biases[0] = float(np.mean(self.biases))
        return replace(self.tiles, touch=deep)


@dataclass
class _TouchLevels(_Touch):
    """Codes all passes of all tiles from a level on anew; part 0 is the finest."""

    kept: dict[TileBox, BestTile]
    shares: list[float]
    strength = 2.5
    hinting = False

    def code(self, part: int, bias: float) -> EncodedTiles:
        """Code passes with another weight of bits."""
        chosen = range(len(self.boxes))
        tiles = self._with(
            part, chosen, lambda box, weight: self.kept[box].from_level(weight, part), bias
        )
        self.biases[: part + 1] = [bias] * (part + 1)
        return tiles

    def places(self, part: int) -> list[TileBox]:
        """Return all tiles."""
        del part
        return list(self.boxes)


def _trace(box: TileBox, params: PyramidParams, model: PyramidModel, payload: bytes) -> TileTrace:
    """Decode a tile and look at its finest pass: which components have a residual.

    A pair's label and a number made of its residual stand for both of its pixels.
    """
    labels = np.zeros((box.height, box.width), np.uint8)
    entries = np.zeros((box.height, box.width), np.int32)
    if int.from_bytes(payload[:2], "little") == EXACT:
        return TileTrace(box.x, box.y, labels + np.uint8(_EXACT_LABEL), entries - 1)
    residuals = finest_residuals(payload, box.width, box.height, params, model).astype(np.int64)
    luma = residuals[0] != 0
    chroma = (residuals[1:] != 0).any(axis=0)
    number = (residuals * np.array([1, 4099, 65537])[: len(residuals), None, None]).sum(axis=0)
    for found, values in ((labels, luma + 2 * chroma), (entries, number & 0x7FFFFFFF)):
        both = np.repeat(values, 2, axis=1 if box.width > 1 else 0)
        found[: both.shape[0], : both.shape[1]] = both
    return TileTrace(box.x, box.y, labels, entries)
