"""Decoding files: whole, in part, or at a fraction of their size."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.alpha import decode_alpha
from rnnic.container import DEFAULT_MAX_PIXELS, Container, Header, TileBox, parse, window_of
from rnnic.encoding import resolve_model
from rnnic.errors import OptionError, TruncatedError
from rnnic.methods import Method, TileDecoder, method_by_code
from rnnic.model import Model
from rnnic.parallel import map_threads, thread_count
from rnnic.parts import split_part
from rnnic.reduction import block_means

__all__ = ["MAX_REDUCE", "decode"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
Data = bytes | bytearray | memoryview
PathLike = str | os.PathLike[str]

MAX_REDUCE = 5
"""Times that the sides can be halved."""


@dataclass(frozen=True)
class _Geometry:
    """An image and its tiles at 1 / 2**reduce of their size, sides rounded up."""

    header: Header
    reduce: int

    def down(self, length: int) -> int:
        """Return a length at the reduced size."""
        return -(-length >> self.reduce)

    def box(self, index: int) -> TileBox:
        """Return the place of a tile in the reduced image."""
        box = self.header.tile_box(index)
        return TileBox(
            box.x >> self.reduce, box.y >> self.reduce, self.down(box.width), self.down(box.height)
        )

    def region(self, region: Sequence[int] | None) -> TileBox:
        """Return the reduced place of a region of the full image; all of it where none is given.

        Raises
        ------
        OptionError
            If it is not inside the image.
        """
        header = self.header
        x, y, width, height = region or (0, 0, header.width, header.height)
        inside = x >= 0 and y >= 0 and x + width <= header.width and y + height <= header.height
        if not inside or width < 1 or height < 1:
            raise OptionError(
                f"region {x},{y},{width},{height} is not inside the image"
                f" of {header.width} x {header.height} pixels"
            )
        left, upper = x >> self.reduce, y >> self.reduce
        return TileBox(left, upper, self.down(x + width) - left, self.down(y + height) - upper)

    def touched(self, view: TileBox) -> list[int]:
        """Return the numbers of the tiles that a reduced region touches."""
        size = self.header.tile_size >> self.reduce
        rows = range(view.y // size, (view.y + view.height - 1) // size + 1)
        columns = range(view.x // size, (view.x + view.width - 1) // size + 1)
        return [row * self.header.columns + column for row in rows for column in columns]


def _output(out: Pixels | None, shape: tuple[int, int, int], dtype: str) -> Pixels:
    """Return an array (h, w, c) to decode into; `out` itself where the caller gave one."""
    if out is None:
        return np.empty(shape, dtype)
    expected = shape if shape[2] > 1 or out.ndim == 3 else shape[:2]
    if out.shape != expected or out.dtype != np.dtype(dtype) or not out.flags.writeable:
        raise OptionError(f"out must be a writeable {dtype} array of shape {expected}")
    return out.reshape(shape) if out.flags.c_contiguous else np.empty(shape, dtype)


def decode(
    data: Data,
    *,
    region: Sequence[int] | None = None,
    reduce: int = 0,
    threads: int | None = None,
    out: Pixels | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    model: Model | PathLike | None = None,
) -> Pixels:
    """Decompress an image.

    Parameters
    ----------
    data : bytes-like
        A file's content.
    region : sequence of 4 int, optional
        x, y, width, height in pixels: only this part, for which only the tiles it touches are
        decoded.
    reduce : int
        0 … 5: the image at 1 / 2**reduce of its size, sides rounded up. A region is given in pixels of
        the full image.
    threads : int, optional
        Tiles decoded at once; the default is the number of CPUs, at most 8.
    out : uint8 or uint16 array, optional
        Receives the pixels and is returned.
    max_pixels : int
        Larger images are refused.
    model : Model or path, optional
        Looked at before the installed models.

    Returns
    -------
    uint8 or uint16 (H, W) or (H, W, c)
        Grey; or with c = 2 grey and alpha, 3 RGB, 4 RGB and alpha. The type is the one that was encoded.

    Raises
    ------
    FormatError, TruncatedError, ChecksumError
        If the data is not a whole, undamaged file.
    OptionError
        If the region is not inside the image, or another option is out of its range.
    LimitError
        If the image is larger than `max_pixels`.
    ModelMissingError
        If the model that the file was compressed with is not at hand.
    """
    container = parse(memoryview(data), max_pixels)
    header = container.header
    method = method_by_code(header.method)
    if not 0 <= reduce <= MAX_REDUCE:
        raise OptionError(f"reduce is {reduce}; it must be 0 … {MAX_REDUCE}")
    # A method that cannot stop early is decoded whole, then averaged.
    early = reduce if method.can_reduce else 0
    wanted = resolve_model(model) if model is not None else None
    decode_tile = method.tile_decoder(header, wanted, early)
    _check_tile_sizes(container, method)
    view = _Geometry(header, reduce).region(region)
    target = _output(out, (view.height, view.width, header.channels), header.dtype)
    count = thread_count(threads)
    if early == reduce:
        _decode_view(container, _Geometry(header, reduce), decode_tile, view, target, count)
    else:
        whole: Pixels = np.empty((header.height, header.width, header.channels), header.dtype)
        full = _Geometry(header, 0)
        _decode_view(container, full, decode_tile, full.region(None), whole, count)
        small = block_means(whole, 1 << reduce)
        target[:] = small[view.y : view.y + view.height, view.x : view.x + view.width]
    if out is not None:
        if not out.flags.c_contiguous:
            out[...] = target.reshape(out.shape)
        return out
    return target if header.channels > 1 else target[:, :, 0]


def _decode_view(
    container: Container,
    geometry: _Geometry,
    decode_tile: TileDecoder,
    view: TileBox,
    target: Pixels,
    threads: int,
) -> None:
    """Decode the tiles that a view of the image touches into an array of the view's size."""

    def decode_box(index: int, place: TileBox, out: Pixels) -> None:
        payload, full = container.tiles[index], container.header.tile_box(index)
        if not container.header.has_alpha:
            decode_tile(payload, full, place, out)
            return
        part, payload = split_part(payload)
        decode_tile(payload, full, place, out[:, :, :-1])
        alpha = decode_alpha(bytes(part), full.height, full.width, out.dtype)[:, :, None]
        window = out[window_of(place)]
        window[:, :, -1:] = block_means(alpha, 1 << geometry.reduce) if geometry.reduce else alpha

    def place(index: int) -> None:
        box = geometry.box(index)
        left, upper = max(view.x, box.x), max(view.y, box.y)
        right = min(view.x + view.width, box.x + box.width)
        lower = min(view.y + view.height, box.y + box.height)
        if (right - left, lower - upper) == (box.width, box.height):
            moved = TileBox(box.x - view.x, box.y - view.y, box.width, box.height)
            decode_box(index, moved, target)
            return
        tile = np.empty((box.height, box.width, target.shape[2]), target.dtype)
        decode_box(index, TileBox(0, 0, box.width, box.height), tile)
        target[upper - view.y : lower - view.y, left - view.x : right - view.x] = tile[
            upper - box.y : lower - box.y, left - box.x : right - box.x
        ]

    touched = geometry.touched(view)
    map_threads(place, touched, min(threads, len(touched)))


def _check_tile_sizes(container: Container, method: Method) -> None:
    """Check that every tile has the bytes it needs at least, before its pixels are allocated."""
    for index, payload in enumerate(container.tiles):
        least = method.minimum_bytes(container.header.tile_box(index))
        if container.header.has_alpha:
            payload = split_part(payload)[1]
        if len(payload) < least:
            raise TruncatedError(
                f"tile {index} has {len(payload)} bytes, its size needs {least} at least;"
                " the file is damaged"
            )
