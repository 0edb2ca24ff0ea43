"""Decoding files: whole, in part, or at a fraction of their size."""

import contextlib
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.alpha import decode_alpha
from rnnic.container import DEFAULT_MAX_PIXELS, Container, Header, TileBox, parse, window_of
from rnnic.damage import Damage, DamageWarning, Fill, Flaw, Salvage, salvage
from rnnic.errors import FormatError, OptionError, TruncatedError
from rnnic.metadata import Metadata
from rnnic.methods import Method, TileDecoder, method_by_code
from rnnic.model import Model, resolve_model
from rnnic.parallel import map_threads, thread_count
from rnnic.parts import split_part
from rnnic.reduction import block_means

__all__ = ["MAX_REDUCE", "Decoded", "OnError", "decode", "decode_report"]

Pixels = npt.NDArray[Any]  # uint8 or uint16
Data = bytes | bytearray | memoryview
PathLike = str | os.PathLike[str]
OnError = Literal["raise", "fill"]

MAX_REDUCE = 5
"""Times that the sides can be halved."""


BoxDecoder = Callable[[int, TileBox, Pixels], None]
"""Decodes a tile, given its number, into a box of an array (H, W, c)."""


class Decoded(NamedTuple):
    """An image decoded in spite of damage.

    Parameters
    ----------
    pixels : uint8 or uint16 (H, W) or (H, W, c)
        What is intact, the rest filled.
    damage : Damage
        What was filled, or lost; false where nothing was.
    metadata : Metadata
        What is left of it.
    """

    pixels: Pixels
    damage: Damage
    metadata: Metadata


class _Options(NamedTuple):
    """The options of `decode`."""

    region: Sequence[int] | None
    reduce: int
    threads: int | None
    out: Pixels | None
    max_pixels: int
    model: Model | PathLike | None


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
    on_error: OnError = "raise",
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
    on_error : "raise" or "fill"
        With ``"fill"``, tiles that are damaged are filled with what their coarser levels give or with
        grey, and a :class:`rnnic.DamageWarning` tells which; see also :func:`decode_report`. The header
        and the index of the tiles must be intact.

    Returns
    -------
    uint8 or uint16 (H, W) or (H, W, c)
        Grey; or with c = 2 grey and alpha, 3 RGB, 4 RGB and alpha. The type is the one that was encoded.

    Raises
    ------
    FormatError, TruncatedError, ChecksumError
        If the data is not a whole, undamaged file; with ``on_error="fill"``, if its header or index is not.
    OptionError
        If the region is not inside the image, or another option is out of its range.
    LimitError
        If the image is larger than `max_pixels`.
    ModelMissingError
        If the model that the file was compressed with is not at hand.
    """
    options = _Options(region, reduce, threads, out, max_pixels, model)
    if on_error == "raise":
        return _decode(parse(memoryview(data), max_pixels), options)
    if on_error != "fill":
        raise OptionError(f"on_error is {on_error!r}; it must be 'raise' or 'fill'")
    found = decode_report(data, **options._asdict())
    if found.damage:
        warnings.warn(DamageWarning(found.damage), stacklevel=2)
    return found.pixels


def decode_report(
    data: Data,
    *,
    region: Sequence[int] | None = None,
    reduce: int = 0,
    threads: int | None = None,
    out: Pixels | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    model: Model | PathLike | None = None,
) -> Decoded:
    """Decompress an image in spite of damage, and tell what is damaged.

    Parameters and errors are those of :func:`decode` with ``on_error="fill"``.

    Returns
    -------
    Decoded
        The pixels, a :class:`rnnic.Damage` that is false where there is none, the metadata left.

    Examples
    --------
    >>> import numpy as np, rnnic
    >>> data = rnnic.encode(np.zeros((64, 64), np.uint8), tile_size=32)
    >>> pixels, damage, _ = rnnic.decode_report(data[:-15])
    >>> [tile.tile for tile in damage.tiles]
    [3]
    """
    found = salvage(memoryview(data), max_pixels)
    pixels = _decode(
        found.container, _Options(region, reduce, threads, out, max_pixels, model), found
    )
    return Decoded(pixels, found.damage, found.container.metadata)


def _decode(container: Container, options: _Options, found: Salvage | None = None) -> Pixels:
    """Decode what was parsed; damage, if it was looked for, is filled and added to what was found."""
    region, reduce, threads, out, _, model = options
    header = container.header
    method = method_by_code(header.method)
    if not 0 <= reduce <= MAX_REDUCE:
        raise OptionError(f"reduce is {reduce}; it must be 0 … {MAX_REDUCE}")
    # A method that cannot stop early is decoded whole, then averaged.
    early = reduce if method.can_reduce else 0
    wanted = resolve_model(model) if model is not None else None
    decoder = _TileReader(container, method, method.tile_decoder(header, wanted, early), early)
    if found is None:
        decode_box: BoxDecoder = decoder.decode
        _check_tile_sizes(container, method)
    else:
        prefix = method.prefix_decoder(header, wanted, early)
        decode_box = _FillingReader(decoder, found, prefix).decode
    view = _Geometry(header, reduce).region(region)
    target = _output(out, (view.height, view.width, header.channels), header.dtype)
    count = thread_count(threads)
    if early == reduce:
        _decode_view(_Geometry(header, reduce), decode_box, view, target, count)
    else:
        whole: Pixels = np.empty((header.height, header.width, header.channels), header.dtype)
        full = _Geometry(header, 0)
        _decode_view(full, decode_box, full.region(None), whole, count)
        small = block_means(whole, 1 << reduce)
        target[:] = small[view.y : view.y + view.height, view.x : view.x + view.width]
    if out is not None:
        if not out.flags.c_contiguous:
            out[...] = target.reshape(out.shape)
        return out
    return target if header.channels > 1 else target[:, :, 0]


@dataclass(frozen=True)
class _TileReader:
    """Decodes tiles by their numbers, with their alpha."""

    container: Container
    method: Method
    decode_tile: TileDecoder
    reduce: int

    def decode(self, index: int, place: TileBox, out: Pixels) -> None:
        """Decode a tile into a box of an array (H, W, c)."""
        payload, full = self.container.tiles[index], self.container.header.tile_box(index)
        if not self.container.header.has_alpha:
            self.decode_tile(payload, full, place, out)
            return
        part, payload = split_part(payload)
        self.decode_tile(payload, full, place, out[:, :, :-1])
        alpha = decode_alpha(bytes(part), full.height, full.width, out.dtype)[:, :, None]
        out[window_of(place)][:, :, -1:] = (
            block_means(alpha, 1 << self.reduce) if self.reduce else alpha
        )


@dataclass(frozen=True)
class _FillingReader:
    """Decodes tiles; those that are damaged are filled and reported."""

    reader: _TileReader
    found: Salvage
    decode_prefix: TileDecoder

    def decode(self, index: int, place: TileBox, out: Pixels) -> None:
        """Decode or fill a tile."""
        flaw = self.found.flaws.get(index)
        if flaw is None:
            try:
                self._check_size(index)
                self.reader.decode(index, place, out)
                return
            except FormatError as error:
                flaw = Flaw(str(error), None)
        window = out[window_of(place)]
        header = self.found.container.header
        colours = window[:, :, : header.colours]
        colours[:] = (np.iinfo(out.dtype).max + 1) // 2
        window[:, :, header.colours :] = np.iinfo(out.dtype).max
        fill: Fill = "grey"
        if flaw.prefix is not None:
            own = TileBox(0, 0, place.width, place.height)
            with contextlib.suppress(FormatError):  # what cannot be decoded in part stays grey
                prefix = split_part(flaw.prefix)[1] if header.has_alpha else flaw.prefix
                self.decode_prefix(prefix, header.tile_box(index), own, colours)
                fill = self.reader.method.prefix_gives
        self.found.report(index, flaw.reason, fill)

    def _check_size(self, index: int) -> None:
        _check_tile_size(self.found.container, self.reader.method, index)


def _decode_view(
    geometry: _Geometry, decode_box: BoxDecoder, view: TileBox, target: Pixels, threads: int
) -> None:
    """Decode the tiles that a view of the image touches into an array of the view's size."""

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
    for index in range(len(container.tiles)):
        _check_tile_size(container, method, index)


def _check_tile_size(container: Container, method: Method, index: int) -> None:
    payload = container.tiles[index]
    least = method.minimum_bytes(container.header.tile_box(index))
    if container.header.has_alpha:
        payload = split_part(payload)[1]
    if len(payload) < least:
        raise TruncatedError(
            f"tile {index} has {len(payload)} bytes, its size needs {least} at least;"
            " the file is damaged"
        )
