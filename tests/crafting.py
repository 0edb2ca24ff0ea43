"""Tiles and files made by hand, which use what encoders seldom or never write."""

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.chunks import SIGNATURE_BYTES, iterate_chunks, pack_chunk

Pixels = npt.NDArray[Any]
Chunks = list[tuple[str, bytes]]

LEAST_STATE = 1 << 15


def varint(value: int, length: int = 0) -> bytes:
    """Return seven bits a byte, lowest first, in at least `length` bytes."""
    out = bytearray()
    while value > 127 or len(out) + 1 < length:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def chunks_of(data: bytes) -> Chunks:
    """Return types and payloads of a file's chunks."""
    found, at = [], SIGNATURE_BYTES
    while at < len(data):
        chunk = next(iterate_chunks(memoryview(data), at))
        found.append((chunk.kind, bytes(chunk.payload)))
        at = chunk.end
    return found


def file_of(data: bytes, chunks: Chunks) -> bytes:
    """Return a file with the signature of another."""
    return data[:SIGNATURE_BYTES] + b"".join(pack_chunk(kind, payload) for kind, payload in chunks)


def with_chunk(data: bytes, kind: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return a file with the first chunk of a type changed, and the index of tiles right for it."""
    chunks = chunks_of(data)
    at = [found for found, _ in chunks].index(kind)
    chunks[at] = (kind, change(chunks[at][1]))
    return file_of(data, indexed(chunks))


def indexed(chunks: Chunks) -> Chunks:
    """Return chunks with the index of tiles, if there is one, right for them."""
    lengths = [len(payload) for kind, payload in chunks if kind == "TILE"]
    index = struct.pack(f"<{len(lengths)}I", *lengths)
    return [(kind, index if kind == "TIDX" else payload) for kind, payload in chunks]


def patched(payload: bytes, at: int, new: bytes) -> bytes:
    """Return a payload with bytes replaced."""
    return payload[:at] + new + payload[at + len(new) :]


class BitWriter:
    """Bits, highest first in each byte."""

    def __init__(self) -> None:
        self.text = ""

    def number(self, value: int, bits: int) -> None:
        """Write a number."""
        self.text += f"{value & ((1 << bits) - 1):0{bits}b}" if bits else ""

    def adaptive(self, values: Sequence[int], total: int) -> None:
        """Write adaptive numbers (SPEC.md 5.3)."""
        count = 1
        for value in values:
            folded = 2 * value if value >= 0 else -2 * value - 1
            k = 0
            while k < 16 and count << k < total:
                k += 1
            if folded >> k >= 24:
                self.number((1 << 24) - 1, 24)
                self.number(folded, 18)
            else:
                self.text += "1" * (folded >> k) + "0"
                self.number(folded, k)
            total, count = total + folded, count + 1
            if count == 32:
                total, count = total // 2, 16

    def folded(self, value: int, bits: int) -> None:
        """Write a signed number of so many bits."""
        self.number(2 * value if value >= 0 else -2 * value - 1, bits)

    def base(self, plane: Pixels, *, slopes: bool = False) -> None:
        """Write a base plane, guessed by its slopes or by medians."""
        q = plane.astype(int).tolist()
        errors: list[int] = []
        text = self.text
        # Numbers of all rows share one state, so each row is written anew with those before it.
        for y, row in enumerate(q):
            own = []
            for x in range(1 if y == 0 else 0, len(row)):
                if y == 0:
                    guess = 2 * row[x - 1] - row[x - 2] if slopes and x > 1 else row[x - 1]
                elif x == 0:
                    guess = 2 * q[y - 1][0] - q[y - 2][0] if slopes and y > 1 else q[y - 1][0]
                else:
                    a, b, c = row[x - 1], q[y - 1][x], q[y - 1][x - 1]
                    guess = a + b - c if slopes else sorted((a, b, a + b - c))[1]
                own.append(row[x] - guess)
            if y == 0:
                self.folded(row[0], 18)
                self.number(slopes, 1)
            silent = not any(own)
            self.number(silent, 1)
            if not silent:
                before = BitWriter()
                before.adaptive(errors, 16)
                whole = BitWriter()
                whole.adaptive(errors + own, 16)
                self.text += whole.text[len(before.text) :]
                errors += own
        assert self.text.startswith(text)

    def to_bytes(self) -> bytes:
        """Return all of it, zero bits at the end."""
        text = self.text + "0" * (-len(self.text) % 8)
        return int(text or "0", 2).to_bytes(len(text) // 8, "big")


class LaneWriter:
    """Symbols of a lane, in the order in which they are read (SPEC.md 5.4)."""

    def __init__(self) -> None:
        self.operations: list[
            tuple[int, int, int, int]
        ] = []  # frequency, start, sign bits, their number

    def symbol(
        self, frequencies: Sequence[int], symbol: int, signs: int = 0, bits: int = 0
    ) -> None:
        """Add a symbol."""
        assert frequencies[symbol] > 0
        start = sum(frequencies[:symbol])
        self.operations.append((int(frequencies[symbol]), int(start), bits, signs))

    def byte(self, value: int) -> None:
        """Add a raw byte."""
        self.operations.append((0, 0, value, 8))

    def words(self) -> list[int]:
        """Return the lane's words, those of the first state first."""
        state = LEAST_STATE
        words: list[int] = []

        def before(state: int, operation: tuple[int, int, int, int]) -> int:
            frequency, start, bits, signs = operation
            state = state << signs | bits
            if frequency == 0:
                return state
            return (state // frequency << 12) + start + state % frequency

        for operation in reversed(self.operations):
            wanted = before(state, operation)
            if wanted >= 1 << 31:
                words.append(state & 65535)
                wanted = before(state >> 16, operation)
            assert LEAST_STATE <= wanted < 1 << 31
            state = wanted
        return [state >> 16, state & 65535, *reversed(words)]


def pyramid_payload(coded: int, bits: BitWriter, lanes: Sequence[Sequence[int]]) -> bytes:
    """Return the payload of a tile of method pyramid."""
    stream = bits.to_bytes()
    head = struct.pack("<H", coded) + varint(len(stream))
    head += b"".join(varint(len(words)) for words in lanes)
    return head + stream + b"".join(struct.pack(f"<{len(words)}H", *words) for words in lanes)


def filtered(rows: npt.NDArray[np.uint8], filters: Sequence[int], distance: int) -> bytes:
    """Return rows of bytes with the filters given, one a row, in turn (SPEC.md 6)."""
    out = bytearray()
    above = np.zeros(rows.shape[1], int)
    for y, row in enumerate(rows.astype(int)):
        kind = filters[y % len(filters)]
        if kind == 5 and (y == 0 or not np.array_equal(row, above)):
            kind = 0
        out.append(kind)
        left = np.concatenate([np.zeros(distance, int), row])[: len(row)]
        corner = np.concatenate([np.zeros(distance, int), above])[: len(row)]
        estimate = left + above - corner
        nearest = np.stack([abs(estimate - v) for v in (left, above, corner)]).argmin(axis=0)
        guesses = (
            0 * row,
            left,
            above,
            (left + above) // 2,
            np.choose(nearest, [left, above, corner]),
        )
        if kind < 5:
            out += ((row - guesses[kind]) & 255).astype(np.uint8).tobytes()
        above = row
    return bytes(out)


def exact_payload(
    pixels: Pixels,
    way: int,
    filters: Sequence[int] = (0, 1, 2, 3, 4, 5),
    level: int = 9,
    strategy: int = zlib.Z_DEFAULT_STRATEGY,
) -> bytes:
    """Return pixels (h, w, c) without loss, as of SPEC.md 6."""
    height, width, channels = pixels.shape
    big = pixels.astype(pixels.dtype.newbyteorder(">"))
    head = bytes([way])
    distance = channels * pixels.itemsize
    if way == 2:
        colours, numbers = np.unique(big.reshape(-1, channels), axis=0, return_inverse=True)
        head += bytes([len(colours) - 1]) + colours.tobytes()
        bits = next(b for b in (1, 2, 4, 8) if 1 << b >= len(colours))
        wide = np.zeros((height, -(-width * bits // 8) * 8 // bits), np.uint8)
        wide[:, :width] = numbers.reshape(height, width)
        spread = np.unpackbits(wide[:, :, None], axis=2)[:, :, 8 - bits :]
        rows = np.packbits(spread.reshape(height, -1), axis=1)
        distance = 1
    else:
        if way == 1:
            less = pixels.copy()
            less[:, :, 0] -= pixels[:, :, 1]
            less[:, :, 2] -= pixels[:, :, 1]
            big = less.astype(big.dtype)
        rows = np.ascontiguousarray(big).view(np.uint8).reshape(height, -1)
    packer = zlib.compressobj(level, zlib.DEFLATED, 15, 9, strategy)
    return head + packer.compress(filtered(rows, filters, distance)) + packer.flush()
