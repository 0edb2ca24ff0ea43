"""Decoding what is left of a damaged file: intact tiles as ever, the others filled and reported.

The header, the index of the tiles and with them the place of every tile must be intact, or the head of
the only tile's chunk. A tile whose CRC is wrong is not used at all, since nothing tells which of its bytes
can be believed. A tile that the end of the data cuts off is used as far as it goes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rnnic.chunks import (
    CRC_BYTES,
    FRAME_BYTES,
    HEAD_BYTES,
    Chunk,
    check_signature,
    checksum,
    iterate_chunks,
)
from rnnic.container import (
    SIGNATURE,
    Container,
    Header,
    kind_after_metadata,
    parse_ancillary,
    parse_head,
    parse_index,
)
from rnnic.errors import ChecksumError, FormatError

__all__ = ["Damage", "DamageWarning", "Fill", "Flaw", "Salvage", "TileDamage", "salvage"]

Fill = Literal["coarser levels", "rows above", "grey"]


@dataclass(frozen=True)
class TileDamage:
    """A tile that could not be decoded whole.

    Parameters
    ----------
    tile : int
        Its number; tiles are counted row by row.
    x, y, width, height : int
        Its place in the full image, in pixels.
    reason : str
        What is wrong with it.
    fill : str
        What is in its place: what its ``"coarser levels"`` give, its ``"rows above"`` the damage
        and grey below, or ``"grey"`` alone (opaque, where the image has alpha).
    """

    tile: int
    x: int
    y: int
    width: int
    height: int
    reason: str
    fill: Fill

    def __str__(self) -> str:
        return (
            f"tile {self.tile} at {self.x},{self.y} ({self.width} x {self.height} pixels):"
            f" {self.reason}; filled with {_PHRASES[self.fill]}"
        )


_PHRASES = {
    "coarser levels": "its coarser levels",
    "rows above": "its rows above the damage, then grey",
    "grey": "grey",
}


@dataclass(frozen=True)
class Damage:
    """What is wrong with a file that was decoded all the same; false where nothing is.

    Parameters
    ----------
    tiles : tuple of TileDamage
        Tiles in the part asked for that were filled, in order.
    notes : tuple of str
        Damage that no pixel suffers from: lost metadata, a missing end.
    """

    tiles: tuple[TileDamage, ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tiles or self.notes)

    def lines(self) -> list[str]:
        """Return a line for every damaged tile and every note."""
        return [*map(str, self.tiles), *self.notes]


class DamageWarning(UserWarning):
    """A file was decoded in spite of damage; ``damage`` tells what of it."""

    def __init__(self, damage: Damage) -> None:
        super().__init__("the file is damaged: " + "; ".join(damage.lines()))
        self.damage = damage


class Flaw(NamedTuple):
    """What is wrong with a tile."""

    reason: str
    prefix: memoryview | None
    """What is there of a tile that was cut off."""


@dataclass
class Salvage:
    """What is left of a file; collects what was filled while it is decoded."""

    container: Container
    flaws: dict[int, Flaw]
    notes: list[str]
    _filled: list[TileDamage] = field(default_factory=list)

    @property
    def damage(self) -> Damage:
        """What was found until now."""
        return Damage(tuple(sorted(self._filled, key=lambda t: t.tile)), tuple(self.notes))

    def report(self, index: int, reason: str, fill: Fill) -> None:
        """Note that a tile was filled."""
        self._filled.append(TileDamage(index, *self.container.header.tile_box(index), reason, fill))


def salvage(data: memoryview, max_pixels: int) -> Salvage:
    """Read a file's structure as `rnnic.container.parse` does, but go on where tiles are damaged.

    Raises
    ------
    FormatError, TruncatedError, ChecksumError, LimitError
        If the header or the index of the tiles is damaged, or the file is none of RNNIC's.
    """
    check_signature(data, SIGNATURE, "RNNIC file")
    first = next(iterate_chunks(data))
    header = parse_head(first, max_pixels)
    notes: list[str] = []
    chunks = _intact_chunks(data, first.end, header, notes)
    metadata, begin = parse_ancillary(chunks, header)
    if begin.kind == "TIDX":
        at, lengths = begin.end, parse_index(begin.payload, header)
    else:
        at = begin.end - HEAD_BYTES
        lengths = (_length_at(data, at),)
    tiles, flaws = [], {}
    for number, length in enumerate(lengths):
        payload, flaw = _tile_at(data, at, length)
        if flaw is not None:
            flaws[number] = flaw
        tiles.append(payload)
        at += FRAME_BYTES + length
    if len(data) < at:
        notes.append(f"the file is cut off: {len(data)} of {at} bytes are there")
    return Salvage(Container(header, tiles, metadata), flaws, notes)


def _tile_at(data: memoryview, at: int, length: int) -> tuple[memoryview, Flaw | None]:
    """Return the payload of the tile whose chunk begins at `at`, and what is wrong with it."""
    begin, end = at + HEAD_BYTES, at + HEAD_BYTES + length
    payload = data[begin:end]
    if end + CRC_BYTES <= len(data):
        if int.from_bytes(data[end : end + CRC_BYTES], "little") == checksum("TILE", payload):
            return payload, None
        return payload, Flaw("its CRC-32 does not match", None)
    if len(payload) == 0 or bytes(data[at : at + 4]) != b"TILE":
        return payload, Flaw("the file ends before it", None)
    return payload, Flaw(f"the file ends after {len(payload)} of its {length} bytes", payload)


def _intact_chunks(
    data: memoryview, start: int, header: Header, notes: list[str]
) -> Iterator[Chunk]:
    """Yield the chunks up to the tiles that are intact; note the others.

    Of an image's only tile no more than its frame's head is looked at.
    """
    offset = start
    while True:
        head = offset + HEAD_BYTES
        if (
            header.tile_count == 1
            and bytes(data[offset : offset + 4]) == b"TILE"
            and head <= len(data)
        ):
            yield Chunk("TILE", data[:0], head)
            return
        try:
            chunk = next(iterate_chunks(data, offset))
        except FormatError as error:
            index = _end_of_metadata(data, offset, header)
            if index <= offset:
                raise
            notes.append(f"metadata is lost: {error}")
            after = offset + FRAME_BYTES + _length_at(data, offset)
            # A length that leads beyond the index, or nowhere, is damaged too.
            offset = after if isinstance(error, ChecksumError) and after <= index else index
            continue
        yield chunk
        offset = chunk.end


def _length_at(data: memoryview, at: int) -> int:
    """Return the length of the payload of the chunk that begins at `at`, as its head has it."""
    return int.from_bytes(data[at + 4 : at + HEAD_BYTES], "little")


def _end_of_metadata(data: memoryview, offset: int, header: Header) -> int:
    """Return where the chunk after the metadata begins, -1 where there is none."""
    frame = kind_after_metadata(header).encode()
    if frame == b"TIDX":
        frame += (4 * header.tile_count).to_bytes(4, "little")
    return bytes(data).find(frame, offset)
