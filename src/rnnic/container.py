"""The container: header, metadata, tile index, tiles (SPEC.md section 2)."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rnnic.chunks import (
    FRAME_BYTES,
    Chunk,
    check_signature,
    iterate_chunks,
    pack_chunk,
)
from rnnic.errors import FormatError, LimitError, TruncatedError
from rnnic.metadata import MAX_KEY_BYTES, Metadata

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "MAX_SIDE",
    "MAX_TILES",
    "MAX_TILE_SIZE",
    "MIN_TILE_SIZE",
    "SIGNATURE",
    "Container",
    "Header",
    "TileBox",
    "kind_after_metadata",
    "parse",
    "parse_ancillary",
    "parse_head",
    "parse_index",
    "serialize",
    "window_of",
]

SIGNATURE = b"\x8aRNNIC\r\n"
VERSION = 1
MAX_SIDE = 2**24
MAX_TILES = 2**20
MIN_TILE_SIZE = 16
MAX_TILE_SIZE = 4096
DEFAULT_MAX_PIXELS = 2**28

_HEAD = struct.Struct("<BBBBIIH8s")
_METADATA_KINDS = {"exif": "exif", "iccp": "icc", "xmp0": "xmp"}


class TileBox(NamedTuple):
    """Where a tile lies in the image, in pixels."""

    x: int
    y: int
    width: int
    height: int


def box_at(index: int, width: int, height: int, size: int) -> TileBox:
    """Return the place of tile number `index` of an image that is cut into tiles of side `size`."""
    row, column = divmod(index, -(-width // size))
    x, y = column * size, row * size
    return TileBox(x, y, min(size, width - x), min(size, height - y))


def tile_boxes(width: int, height: int, size: int) -> list[TileBox]:
    """Return the places of all tiles."""
    count = -(-width // size) * -(-height // size)
    return [box_at(index, width, height, size) for index in range(count)]


def window_of(box: TileBox) -> tuple[slice, slice]:
    """Return what picks a box out of an image's array."""
    return slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)


@dataclass(frozen=True)
class Header:
    """The content of the chunk ``HEAD``; what it says has been checked against its limits.

    Parameters
    ----------
    method : int
        Code of the method (SPEC.md 2.2).
    channels : int
        1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha).
    bit_depth : int
        Bits per sample, 8 or 16.
    width, height : int
        Size of the image in pixels.
    tile_size : int
        Side of a tile in pixels.
    model_id : bytes
        Identifies the model section that the tiles need, 8 bytes.
    parameters : bytes
        Parameters of the method.

    Raises
    ------
    FormatError, LimitError
        If a field is out of its range.
    """

    method: int
    channels: int
    bit_depth: int
    width: int
    height: int
    tile_size: int
    model_id: bytes
    parameters: bytes = b""

    def __post_init__(self) -> None:
        if self.channels not in range(1, 5):
            raise FormatError(f"{self.channels} channels; this version knows 1 to 4")
        if self.bit_depth not in (8, 16):
            raise FormatError(f"{self.bit_depth} bits per sample; this version knows 8 and 16")
        for name, side in (("width", self.width), ("height", self.height)):
            if not 1 <= side <= MAX_SIDE:
                raise LimitError(f"{name} {side} is outside 1 … {MAX_SIDE}")
        if not MIN_TILE_SIZE <= self.tile_size <= MAX_TILE_SIZE:
            raise LimitError(
                f"tile size {self.tile_size} is outside {MIN_TILE_SIZE} … {MAX_TILE_SIZE}"
            )
        if self.tile_count > MAX_TILES:
            raise LimitError(
                f"{self.tile_count} tiles, more than {MAX_TILES}; use a larger tile size"
            )

    @property
    def colours(self) -> int:
        """Number of channels without alpha, 1 or 3; what the method codes."""
        return 1 if self.channels < 3 else 3

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.channels % 2 == 0

    @property
    def dtype(self) -> str:
        """NumPy's name of the type of samples."""
        return f"uint{self.bit_depth}"

    @property
    def columns(self) -> int:
        """Number of tiles in a row of tiles."""
        return -(-self.width // self.tile_size)

    @property
    def rows(self) -> int:
        """Number of rows of tiles."""
        return -(-self.height // self.tile_size)

    @property
    def tile_count(self) -> int:
        """Number of tiles."""
        return self.columns * self.rows

    def tile_box(self, index: int) -> TileBox:
        """Return the place of tile number `index`."""
        return box_at(index, self.width, self.height, self.tile_size)

    def to_bytes(self) -> bytes:
        """Return the payload of ``HEAD``."""
        fields = _HEAD.pack(
            VERSION,
            self.method,
            self.channels,
            self.bit_depth,
            self.width,
            self.height,
            self.tile_size,
            self.model_id,
        )
        return fields + self.parameters

    @classmethod
    def from_bytes(cls, payload: memoryview, max_pixels: int) -> "Header":
        """Read the payload of ``HEAD``.

        Raises
        ------
        FormatError
            If it is not valid or of a newer version.
        LimitError
            If the image has more than `max_pixels` pixels.
        """
        if payload[:1] and payload[0] != VERSION:
            raise FormatError(
                f"format version {payload[0]}; this program reads version {VERSION}:"
                " upgrade with `pip install --upgrade rnnic`"
            )
        if len(payload) < _HEAD.size:
            raise FormatError(f"the header has {len(payload)} bytes, at least {_HEAD.size} needed")
        _, method, channels, depth, width, height, tile_size, model_id = _HEAD.unpack_from(payload)
        parameters = bytes(payload[_HEAD.size :])
        header = cls(method, channels, depth, width, height, tile_size, model_id, parameters)
        if width * height > max_pixels:
            raise LimitError(
                f"{width} x {height} pixels are more than the limit of {max_pixels};"
                " raise max_pixels (--max-pixels) if you trust the file"
            )
        return header


@dataclass(frozen=True)
class Container:
    """A parsed file: its header, its metadata, the payloads of its tiles in order."""

    header: Header
    tiles: Sequence[memoryview]
    metadata: Metadata = field(default_factory=Metadata)


def serialize(header: Header, tiles: Sequence[bytes], metadata: Metadata) -> bytes:
    """Return the bytes of a file.

    Parameters
    ----------
    header : Header
        Its tile count must equal the number of tiles.
    tiles : sequence of bytes
        Payloads of the tiles, row by row.
    metadata : Metadata
        What travels along.
    """
    if len(tiles) != header.tile_count:
        raise ValueError(f"{len(tiles)} tiles for an image of {header.tile_count}")
    parts = [SIGNATURE, pack_chunk("HEAD", header.to_bytes())]
    for kind, name in _METADATA_KINDS.items():
        value = getattr(metadata, name)
        if value is not None:
            parts.append(pack_chunk(kind, value))
    for key, text in metadata.text.items():
        parts.append(pack_chunk("text", key.encode() + b"\0" + text.encode()))
    if len(tiles) > 1:
        parts.append(pack_chunk("TIDX", struct.pack(f"<{len(tiles)}I", *map(len, tiles))))
    parts.extend(pack_chunk("TILE", tile) for tile in tiles)
    return b"".join(parts)


def parse(data: memoryview, max_pixels: int = DEFAULT_MAX_PIXELS) -> Container:
    """Read a file's structure; nothing of the image's size is allocated.

    Raises
    ------
    FormatError, TruncatedError, ChecksumError, LimitError
        If the data breaks a rule of SPEC.md section 2.
    """
    check_signature(data, SIGNATURE, "RNNIC file")
    chunks = iterate_chunks(data)
    header = parse_head(next(chunks), max_pixels)
    metadata, first = parse_ancillary(chunks, header)
    if header.tile_count == 1:
        return Container(header, [first.payload], metadata)
    lengths = parse_index(first.payload, header)
    needed, remaining = sum(lengths) + FRAME_BYTES * len(lengths), len(data) - first.end
    if needed > remaining:
        raise TruncatedError(f"the tiles need {needed} bytes, {remaining} are there; file cut off")
    tiles = []
    for number, length in enumerate(lengths):
        chunk = next(chunks)
        if chunk.kind != "TILE":
            raise FormatError(f"chunk {chunk.kind} in the place of tile {number}")
        if len(chunk.payload) != length:
            raise FormatError(
                f"tile {number} has {len(chunk.payload)} bytes, the index says {length}"
            )
        tiles.append(chunk.payload)
    return Container(header, tiles, metadata)


def parse_head(first: Chunk, max_pixels: int) -> Header:
    """Read the first chunk; errors are those of `Header.from_bytes`."""
    if first.kind != "HEAD":
        raise FormatError(f"the first chunk is {first.kind}, not HEAD")
    return Header.from_bytes(first.payload, max_pixels)


def parse_ancillary(chunks: Iterator[Chunk], header: Header) -> tuple[Metadata, Chunk]:
    """Read the chunks up to ``TIDX`` or the only tile; return the metadata and that one."""
    found: dict[str, bytes] = {}
    text: dict[str, str] = {}
    due = kind_after_metadata(header)
    while True:
        chunk = next(chunks)
        if chunk.kind == due:
            metadata = Metadata(found.get("exif"), found.get("icc"), found.get("xmp"), text)
            return metadata, chunk
        if chunk.kind in _METADATA_KINDS:
            name = _METADATA_KINDS[chunk.kind]
            if name in found:
                raise FormatError(f"more than one chunk {chunk.kind}")
            found[name] = bytes(chunk.payload)
        elif chunk.kind == "text":
            key, value = _parse_text(bytes(chunk.payload))
            text[key] = value
        elif chunk.kind in ("TILE", "TIDX"):
            raise FormatError(f"chunk {chunk.kind} in the place of {due}")
        elif chunk.critical:
            raise FormatError(
                f"chunk {chunk.kind} is not known here; a newer version of rnnic may read the file"
            )


def kind_after_metadata(header: Header) -> str:
    """Return the type of the chunk that comes after the ancillary ones."""
    return "TIDX" if header.tile_count > 1 else "TILE"


def _parse_text(payload: bytes) -> tuple[str, str]:
    """Read the payload of ``text``: a key, a zero byte, its value."""
    key, separator, value = payload.partition(b"\0")
    if not separator or not 1 <= len(key) <= MAX_KEY_BYTES:
        raise FormatError(f"a text chunk without a key of 1 to {MAX_KEY_BYTES} bytes")
    try:
        return key.decode(), value.decode()
    except UnicodeDecodeError as error:
        raise FormatError("a text chunk that is not UTF-8") from error


def parse_index(payload: memoryview, header: Header) -> tuple[int, ...]:
    """Read the tile index: the lengths of the tiles."""
    if len(payload) != 4 * header.tile_count:
        raise FormatError(
            f"the tile index has {len(payload)} bytes for {header.tile_count} tiles of 4 bytes each"
        )
    return struct.unpack(f"<{header.tile_count}I", payload)
