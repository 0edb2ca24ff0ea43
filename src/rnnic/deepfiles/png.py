"""PNG with 16 bits a sample (ISO/IEC 15948). Pillow reads and writes what comes beside the pixels."""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.errors import RnnicError
from rnnic.lossless.filters import unfilter_rows

__all__ = ["is_deep_png", "read_deep_png", "write_deep_png"]

Pixels16 = npt.NDArray[np.uint16]
SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
COLOUR_TYPES = {channels: kind for kind, channels in CHANNELS.items()}
LAST_FILTER = 4
_HEAD = struct.Struct(">IIBBBBB")
_LARGEST_IDAT = 1 << 24
# Start and stride across, start and stride down, of the seven passes of an interlaced image.
_PASSES = (
    (0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2),
)  # fmt: skip


class _Pass(NamedTuple):
    columns: slice
    rows: slice
    width: int
    height: int


def is_deep_png(data: bytes) -> bool:
    """Return whether data begins as a PNG file of 16 bits a sample does."""
    return data[:8] == SIGNATURE and data[24:25] == b"\x10"


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the chunks up to IEND."""
    offset = len(SIGNATURE)
    while offset + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, offset)
        content = data[offset + 8 : offset + 8 + length]
        if len(content) < length:
            break
        yield kind, content
        if kind == b"IEND":
            return
        offset += 12 + length
    raise RnnicError("the PNG file is cut off")


def _passes(width: int, height: int, interlaced: bool) -> list[_Pass]:
    found = []
    for x, wide, y, high in _PASSES if interlaced else ((0, 1, 0, 1),):
        columns, rows = range(width)[x::wide], range(height)[y::high]
        if columns and rows:
            chosen = slice(x, None, wide), slice(y, None, high)
            found.append(_Pass(*chosen, len(columns), len(rows)))
    return found


def read_deep_png(data: bytes) -> Pixels16:
    """Return the pixels of a PNG file of 16 bits a sample, (H, W) or (H, W, 2 … 4).

    A colour that the file declares transparent becomes alpha 0. Limits of size are the caller's.

    Raises
    ------
    RnnicError
        If it is damaged.
    """
    head = b""
    parts: list[bytes] = []
    transparent = b""
    for kind, content in _chunks(data):
        if kind == b"IHDR":
            head = content
        elif kind == b"IDAT":
            parts.append(content)
        elif kind == b"tRNS":
            transparent = content
    if len(head) != _HEAD.size:
        raise RnnicError("the PNG file has no header")
    width, height, depth, colour, _, _, interlaced = _HEAD.unpack(head)
    if depth != 16 or colour not in CHANNELS or not width or not height:
        raise RnnicError("the PNG file's header is damaged")
    channels = CHANNELS[colour]
    pixels = np.empty((height, width, channels), np.uint16)
    passes = _passes(width, height, bool(interlaced))
    raw = _inflate(b"".join(parts), sum(p.height * (2 * channels * p.width + 1) for p in passes))
    start = 0
    for each in passes:
        size = 2 * channels * each.width
        end = start + each.height * (size + 1)
        rows = _unfiltered(raw[start:end], each.height, size, 2 * channels)
        pixels[each.rows, each.columns] = rows.view(">u2").reshape(
            each.height, each.width, channels
        )
        start = end
    if transparent and channels in (1, 3):
        pixels = _with_key(pixels, transparent)
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def _inflate(data: bytes, size: int) -> npt.NDArray[np.uint8]:
    try:
        raw = zlib.decompressobj().decompress(data, size)
    except zlib.error as error:
        raise RnnicError(f"the PNG file is damaged: {error}") from error
    if len(raw) < size:
        raise RnnicError("the PNG file is cut off")
    return np.frombuffer(raw, np.uint8)


def _unfiltered(
    raw: npt.NDArray[np.uint8], height: int, size: int, distance: int
) -> npt.NDArray[np.uint8]:
    if int(raw[:: size + 1].max()) > LAST_FILTER:
        raise RnnicError("the PNG file is damaged: a row has an unknown filter")
    rows = np.empty((height, size), np.uint8)
    unfilter_rows(raw, distance, rows)
    return rows


def _with_key(pixels: Pixels16, key: bytes) -> Pixels16:
    """Return pixels with alpha: 0 where the colour is the key."""
    if len(key) != 2 * pixels.shape[2]:
        raise RnnicError("the PNG file's transparent colour is damaged")
    same = (pixels == np.frombuffer(key, ">u2")).all(axis=2, keepdims=True)
    alpha = np.where(same, 0, 65535).astype(np.uint16)
    return np.concatenate([pixels, alpha], axis=2)


def _filtered(rows: npt.NDArray[np.uint8], distance: int) -> npt.NDArray[np.uint8]:
    """Return rows less what is left of them, above them or nothing, whatever is smallest in sum."""
    left = rows.copy()
    left[:, distance:] -= rows[:, :-distance]
    upper = rows.copy()
    upper[1:] -= rows[:-1]
    ways = np.stack([rows, left, upper])
    sums = np.abs(ways.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64)
    kinds = sums.argmin(axis=0)
    chosen = ways[kinds, np.arange(len(rows))]
    return np.concatenate([kinds.astype(np.uint8)[:, None], chosen], axis=1)


def _chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def write_deep_png(file: BinaryIO, pixels: Pixels16, small: bytes) -> None:
    """Write a PNG file of 16 bits a sample.

    Parameters
    ----------
    file : binary file
    pixels : uint16 (H, W) or (H, W, 1 … 4)
    small : bytes
        Another PNG file, whose chunks beside the pixels are taken over.
    """
    deep = pixels[:, :, None] if pixels.ndim == 2 else pixels
    height, width, channels = deep.shape
    packer = zlib.compressobj(6)
    rows = np.ascontiguousarray(deep.astype(">u2")).view(np.uint8).reshape(height, -1)
    packed = packer.compress(_filtered(rows, 2 * channels).tobytes()) + packer.flush()
    file.write(SIGNATURE)
    written = False
    for kind, content in _chunks(small):
        if kind == b"IHDR":
            head = _HEAD.pack(width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
            file.write(_chunk(kind, head))
        elif kind != b"IDAT":
            file.write(_chunk(kind, content))
        elif not written:
            written = True
            file.writelines(
                _chunk(kind, packed[start : start + _LARGEST_IDAT])
                for start in range(0, len(packed), _LARGEST_IDAT)
            )
