"""A plain-Python decoder that reads like SPEC.md section 5, one pair at a time.

It shares no code with the fast decoder beyond the model's and parameters' containers and the
constant trellis, and is the oracle of the tests.
"""

from rnnic.errors import FormatError, TruncatedError
from rnnic.lossless.reference import decode_exact
from rnnic.pyramid.format import TRELLIS, PyramidParams
from rnnic.pyramid.model import PyramidModel

__all__ = ["decode_reference"]

Plane = list[list[int]]
PASSES = 14


def clamp(value: int, low: int, high: int) -> int:
    """``value`` limited to ``low..high``."""
    return max(low, min(high, value))


def wrap16(value: int) -> int:
    """Two's complement 16-bit value."""
    return (value + 32768) % 65536 - 32768


def minmod(a: int, b: int) -> int:
    """Return the smaller of two numbers of the same sign, else zero."""
    return max(min(a, b), 0) + min(max(a, b), 0)


class Lane:
    """One rANS bit stream with its trellis state."""

    def __init__(self, words: list[int]) -> None:
        self.words = words
        self.at = 2
        self.state = (words[0] << 16) | words[1]
        self.trellis = 0
        if not 1 << 15 <= self.state < 1 << 31:
            raise FormatError("impossible state")

    def refill(self) -> None:
        """Take a word if the state is below its range."""
        if self.state < 1 << 15:
            if self.at >= len(self.words):
                raise TruncatedError("lane is truncated")
            self.state = (self.state << 16) | self.words[self.at]
            self.at += 1

    def symbol(self, frequencies: list[int], signs: list[int]) -> tuple[int, int]:
        """Decode a symbol and its sign bits."""
        slot = self.state & 4095
        start = symbol = 0
        while start + frequencies[symbol] <= slot:
            start += frequencies[symbol]
            symbol += 1
        self.state = frequencies[symbol] * (self.state >> 12) + slot - start
        raw = self.state & ((1 << signs[symbol]) - 1)
        self.state >>= signs[symbol]
        self.refill()
        return symbol, raw

    def byte(self) -> int:
        """Decode a raw byte."""
        raw = self.state & 255
        self.state >>= 8
        self.refill()
        return raw


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Read seven bits a byte, lowest first."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 28:
            raise TruncatedError("header is truncated")
        value |= (data[at] & 127) << shift
        at += 1
        shift += 7
        if data[at - 1] < 128:
            return value, at


def unfold(value: int) -> int:
    """Signed number of a folded one: 0, -1, 1, -2, 2, ..."""
    return -((value + 1) // 2) if value & 1 else value // 2


class Bits:
    """The bits of a tile's own parameters and base plane, highest first in each byte."""

    def __init__(self, data: bytes) -> None:
        self.bits = [byte >> (7 - i) & 1 for byte in data for i in range(8)]
        self.at = 0
        self.total, self.count = 0, 1

    def number(self, count: int) -> int:
        """Read a number of ``count`` bits."""
        if self.at + count > len(self.bits):
            raise TruncatedError("base plane is truncated")
        value = 0
        for bit in self.bits[self.at : self.at + count]:
            value = 2 * value + bit
        self.at += count
        return value

    def golomb(self) -> int:
        """Read a signed number whose code depends on those before it."""
        k = 0
        while k < 16 and self.count << k < self.total:
            k += 1
        ones = 0
        while ones < 24 and self.number(1):
            ones += 1
        value = self.number(18) if ones == 24 else (ones << k) + self.number(k)
        self.total += value
        self.count += 1
        if self.count == 32:
            self.total, self.count = self.total // 2, 16
        return unfold(value)


def read_base(bits: Bits, channels: int, width: int, height: int) -> list[Plane]:
    """Decode the quantised base planes."""
    planes: list[Plane] = []
    for _ in range(channels):
        q: Plane = [[0] * width for _ in range(height)]
        bits.total, bits.count = 16, 1
        for y in range(height):
            if y == 0:
                q[0][0] = clamp(unfold(bits.number(18)), -65535, 65535)
                slopes = bits.number(1)
            same = bits.number(1)
            for x in range(y == 0, width):
                if y == 0:
                    guess = 2 * q[0][x - 1] - q[0][x - 2] if slopes and x > 1 else q[0][x - 1]
                elif x == 0:
                    guess = 2 * q[y - 1][0] - q[y - 2][0] if slopes and y > 1 else q[y - 1][0]
                else:
                    a, b, c = q[y][x - 1], q[y - 1][x], q[y - 1][x - 1]
                    guess = a + b - c if slopes else sorted((a, b, a + b - c))[1]
                error = 0 if same else bits.golomb()
                q[y][x] = clamp(guess + error, -65535, 65535)
        planes.append(q)
    return planes


class Tables:
    """Everything of the model that a tile uses; its first bits say which tables."""

    def __init__(self, model: PyramidModel, params: PyramidParams, bits: Bits) -> None:
        band = sum(params.step >= int(edge) for edge in model.band_edges)
        self.colour = [9459, 9459, 9459, 11585, 0, -11585, 6689, -13377, 6689]
        self.smooth = bits.number(1) == 1
        noisy = params.channels == 3 and params.states > 1 and bits.number(1) == 1
        tables = (model.noisy if noisy else model.rgb) if params.channels == 3 else model.grey
        quantiser = tables.scalar if params.states == 1 else tables.trellis
        assert quantiser is not None
        self.luma = tables.luma_taps[band].tolist()
        self.chroma = tables.chroma_taps[band].tolist()
        self.activity = tables.activity[band].tolist()
        self.luma_edges = tables.luma_edges.tolist()
        self.chroma_edges = tables.chroma_edges.tolist()
        self.orbits = quantiser.orbits.tolist()
        self.magnitudes = quantiser.magnitudes.tolist()
        self.common = quantiser.common[band].tolist()
        self.rare = quantiser.rare[band].tolist()
        self.escape = len(self.orbits[0])
        self.common_escape = len(self.common[0][0]) - 1
        self.signs = [[sum(k > 0 for k in orbit) for orbit in book] + [0] for book in self.orbits]

    def read_own(self, bits: Bits, channels: int, coded: int) -> None:
        """Replace what the tile has of its own, as the bits that follow say."""
        if self.smooth:
            for level in range(PASSES):
                for taps in (self.luma[level], *self.chroma[level]):
                    taps[:] = [704, -96] + [0] * (len(taps) - 2)
        if channels == 3 and bits.number(1):
            self.colour = [wrap16(bits.number(16)) for _ in range(9)]
            if any(sum(abs(c) for c in self.colour[i::3]) > 32768 for i in range(3)):
                raise FormatError("colour matrix is out of range")
        for level in range(PASSES):
            if not coded >> level & 1:
                continue
            groups = [(self.luma[level], 16)]
            groups += [(taps, 16) for taps in self.chroma[level][: channels - 1]]
            groups += [(weights, 32) for weights in self.activity[level][: min(channels, 2)]]
            for values, unit in groups:
                if not bits.number(1):
                    continue
                bits.total, bits.count = 4, 1
                for i in range(len(values)):
                    values[i] += unit * bits.golomb()
                if unit == 16 and sum(abs(v) for v in values) > 16383:
                    raise FormatError("taps are out of range")
                if unit == 32 and not all(0 <= v <= 16384 for v in values):
                    raise FormatError("weights are out of range")

    def vector(self, book: int, entry: int, raw: int) -> list[int]:
        """Residual of an entry and its sign bits in 1/64 step; the escape stands for zero."""
        if entry == self.escape:
            return [0, 0, 0]
        out = []
        for k, size in zip(self.orbits[book][entry], self.magnitudes[book][entry], strict=True):
            out.append(-size if k > 0 and raw & 1 else size)
            raw >>= k > 0
        return out

    def branch(self, book: int, entry: int) -> int:
        """Trellis branch of an entry."""
        if entry == self.escape:
            return 0
        k = self.orbits[book][entry]
        return int((k[0] + 1) // 2 + k[1] + k[2]) % 2


def read_pair(
    lane: Lane, tables: Tables, luma_class: int, chroma_class: int, top: int
) -> tuple[list[int], int]:
    """Decode one pair: residual in 1/64 step, and branch."""
    luma_classes, chroma_classes = len(tables.luma_edges) + 1, len(tables.chroma_edges) + 1
    refinements = luma_classes * 5
    book = lane.trellis & 1

    def symbol(used: int, context: int) -> tuple[int, int]:
        return lane.symbol(tables.rare[used][context], tables.signs[used])

    signs = [*tables.signs[book][: tables.common_escape], 0]
    entry, raw = lane.symbol(tables.common[book][luma_class * chroma_classes + chroma_class], signs)
    if entry != tables.common_escape:
        return tables.vector(book, entry, raw), tables.branch(book, entry)
    entry, raw = symbol(book, luma_classes * 4 + luma_class)
    if entry != tables.escape:
        vector = [clamp(v, -top, top) for v in tables.vector(book, entry, raw)]
        return vector, tables.branch(book, entry)
    depth = 1
    while depth < 7:
        context = luma_classes * (min(depth, 4) - 1) + luma_class
        entry, raw = symbol(0, context)
        if entry != tables.escape:
            break
        depth += 1
    else:
        raws = []
        for _ in range(3):
            value = lane.byte() << 16 | lane.byte() << 8 | lane.byte()
            raws.append(clamp((value - (value >> 23 << 24)) * 64, -top, top))
        return raws, 0
    vector = [clamp(v, -top, top) for v in tables.vector(0, entry, raw)]
    branch = 0
    while depth > 0:
        depth -= 1
        used = book if depth == 0 else 0
        entry, raw = symbol(used, refinements + min(depth, 4))
        fine = tables.vector(used, entry, raw)
        vector = [clamp(4 * v + f, -top, top) for v, f in zip(vector, fine, strict=True)]
        branch = tables.branch(used, entry)
    return vector, branch


def beyond(line: list[int], i: int) -> int:
    """Return a value of a line, or the one that goes on with its slope at the nearer end."""
    n = len(line)
    if 0 <= i < n or n == 1:
        return line[clamp(i, 0, n - 1)]
    step = 1 if i < 0 else -1
    return clamp(2 * beyond(line, i + step) - beyond(line, i + 2 * step), -32768, 32767)


class Halving:
    """Decodes one pass."""

    def __init__(self, tables: Tables, params: PyramidParams, level: int) -> None:
        self.tables = tables
        self.params = params
        self.along_x = level % 2 == 0
        half = level // 2
        self.step = params.step * 181 >> (7 + half) if self.along_x else params.step >> half
        self.step = max(self.step, 16)
        self.luma = tables.luma[level]
        self.chroma = tables.chroma[level]
        self.weights = [
            [min((w << 12) // self.step, 8191) for w in row[:4]] + row[4:]
            for row in tables.activity[level]
        ]

    def decode(
        self, parents: list[Plane], energies: list[Plane], width: int, height: int,
        lanes: list[Lane] | None,
    ) -> tuple[list[Plane], list[Plane]]:  # fmt: skip
        """Decode the children, ``width`` x ``height``; ``lanes`` is None if all is zero."""
        self.parents, self.energies = parents, energies
        rows = height if self.along_x else height // 2
        columns = width // 2 if self.along_x else width
        channels = len(parents)
        self.children: list[Plane] = [[[0] * width for _ in range(height)] for _ in parents]
        self.spread: list[Plane] = [[[0] * width for _ in range(height)] for _ in energies]
        count = self.params.lanes if rows >= 4 * self.params.lanes else 1
        share, extra = divmod(rows, count)
        y = 0
        for k in range(count):
            zero = [[0] * (columns + 2) for _ in range(channels)]
            none = [[0] * (columns + 2)] * 2
            above = [zero, zero, none, none]
            for _ in range(share + (k < extra)):
                above = self.row(y, columns, above, lanes[k] if lanes else None)
                y += 1
        self.copy_unpaired(width, height)
        return self.children, self.spread

    def copy_unpaired(self, width: int, height: int) -> None:
        """Copy the parents of an odd last column or row."""
        for small, large in ((self.parents, self.children), (self.energies, self.spread)):
            for p, c in zip(small, large, strict=True):
                if self.along_x and width % 2:
                    for y in range(height):
                        c[y][-1] = p[y][-1]
                elif not self.along_x and height % 2:
                    c[-1] = list(p[-1])

    def energy(self, k: int, y: int, x: int, across: int, along: int) -> int:
        """Energy of a group at an offset across and along the halving."""
        dy, dx = (across, along) if self.along_x else (along, across)
        e = self.energies[k]
        return e[clamp(y + dy, 0, len(e) - 1)][clamp(x + dx, 0, len(e[0]) - 1)]

    def at(self, c: int, y: int, x: int, across: int, along: int) -> int:
        """Sample of a component at an offset across and along the halving."""
        dy, dx = (across, along) if self.along_x else (along, across)
        p = self.parents[c]
        y, x = y + dy, x + dx
        if self.tables.smooth:
            first = clamp(y, 0, max(len(p) - 2, 0))
            return beyond([beyond(row, x) for row in p[first : first + 2]], y - first)
        return p[clamp(y, 0, len(p) - 1)][clamp(x, 0, len(p[0]) - 1)]

    def slope(self, c: int, y: int, x: int, across: int, along: int) -> int:
        """Antisymmetric difference."""
        return self.at(c, y, x, across, -along) - self.at(c, y, x, across, along)

    def row(
        self, y: int, columns: int, above: list[list[list[int]]], lane: Lane | None
    ) -> list[list[list[int]]]:
        """Decode a row; returns its differences, residuals and magnitudes with borders."""
        channels = len(self.parents)
        d = [[0] * (columns + 2) for _ in range(channels)]
        r = [[0] * (columns + 2) for _ in range(channels)]
        m = [[0] * (columns + 2) for _ in range(2)]
        top = (1 << 29) // self.step
        left = [0, 0]
        for x in range(columns):
            vector = [0, 0, 0]
            if lane is not None:
                classes = [0, 0]
                for k in range(len(self.energies)):
                    total = self.activity(k, y, x, above[2], above[3]) + left[k]
                    edges = self.tables.chroma_edges if k else self.tables.luma_edges
                    classes[k] = sum(min(total >> 2, 4095) >= edge for edge in edges)
                vector, branch = read_pair(lane, self.tables, classes[0], classes[1], top)
                lane.trellis = TRELLIS[self.params.states][lane.trellis * 2 + branch]
            sizes = [abs(vector[0]) >> 2, (abs(vector[1]) + abs(vector[2])) >> 2]
            for k in range(len(self.energies)):
                m[k][x + 1] = min(sizes[k], 4095)
                left[k] = min(m[k][x + 1] * self.weights[k][9] >> 8, 16383)
            for c in range(channels):
                r[c][x + 1] = clamp((vector[c] * self.step + 512) >> 10, -65535, 65535)
                guess = self.predict(c, y, x, above[0][c], above[1][c], r[c][x])
                d[c][x + 1] = clamp(r[c][x + 1] + guess, -65535, 65535)
                self.place(self.children[c], y, x, self.parents[c][y][x], d[c][x + 1])
            for k in range(len(self.energies)):
                value = m[k][x + 1] + (self.energies[k][y][x] >> 1)
                self.put(self.spread[k], y, x, value, value)
        return [d, r, m, above[2]]

    def place(self, plane: Plane, y: int, x: int, mean: int, difference: int) -> None:
        """Put the children of a mean and a difference."""
        a = mean + ((difference + 1) >> 1)
        self.put(plane, y, x, wrap16(a), wrap16(a - difference))

    def put(self, plane: Plane, y: int, x: int, a: int, b: int) -> None:
        """Put both children."""
        if self.along_x:
            plane[y][2 * x], plane[y][2 * x + 1] = a, b
        else:
            plane[2 * y][x], plane[2 * y + 1][x] = a, b

    def predict(self, c: int, y: int, x: int, d: list[int], r: list[int], left: int) -> int:
        """Predict a difference; ``d`` and ``r`` are the bordered rows above."""
        p = self.parents[c]

        def slope(across: int, along: int) -> int:
            return self.slope(c, y, x, across, along)

        def bend(a: tuple[int, int], b: tuple[int, int]) -> int:
            return minmod(self.at(c, y, x, *a) - p[y][x], p[y][x] - self.at(c, y, x, *b))

        if c == 0:
            taps = self.luma
            features = [
                slope(0, 1), slope(0, 2), slope(-1, 1), slope(1, 1),
                slope(-1, 2) + slope(1, 2), slope(-2, 1) + slope(2, 1),
                bend((0, -1), (0, 1)), bend((-1, -1), (1, 1)), bend((1, -1), (-1, 1)),
                d[x + 1], d[x], d[x + 2], r[x + 1], r[x], left,
            ]  # fmt: skip
        else:
            taps = self.chroma[c - 1]
            features = [
                slope(0, 1), slope(0, 2), slope(-1, 1) + slope(1, 1), bend((0, -1), (0, 1)),
                d[x + 1], r[x + 1], left,
            ]  # fmt: skip
        total: int = sum(t * f for t, f in zip(taps, features, strict=True))
        return (total + 1024) >> 11

    def activity(self, k: int, y: int, x: int, m: list[list[int]], higher: list[list[int]]) -> int:
        """Return the expected magnitude in 1/256 step, without the left neighbour's part."""
        w = self.weights[k]
        e = self.energies[k]
        cross = sum(self.energy(k, y, x, *o) for o in ((-1, 0), (1, 0), (0, -1), (0, 1)))
        total: int = w[4] * e[y][x] + w[5] * cross
        total += w[6] * m[k][x + 1] + w[7] * m[k][x] + w[8] * m[k][x + 2]
        total = (total + w[10] * higher[k][x + 1] + w[11] * m[1 - k][x + 1]) >> 8
        for c in (0,) if k == 0 else (1, 2):
            v = self.parents[c][y][x]
            before, after = self.at(c, y, x, 0, -1) - v, v - self.at(c, y, x, 0, 1)
            g = [abs(before) + abs(after), 0, 0, abs(before - after)]
            for side in (-1, 1):
                u = self.at(c, y, x, side, 0)
                g[1] += abs(self.at(c, y, x, side, -1) - u) + abs(self.at(c, y, x, side, 1) - u)
                g[2] += abs(u - v)
            total += sum(w[i] * min(g[i], 32767) for i in range(4)) >> 12
        return total


def decode_reference(
    data: bytes, width: int, height: int, params: PyramidParams, model: PyramidModel
) -> list[list[list[int]]]:
    """Decode a tile to nested lists [y][x][channel] of 0..255.

    Raises
    ------
    FormatError, TruncatedError
    """
    sizes = []
    w, h = width, height
    for level in range(PASSES):
        if (w if level % 2 == 0 else h) < 2:
            continue
        sizes.append((level, w, h))
        if level % 2 == 0:
            w = (w + 1) // 2
        else:
            h = (h + 1) // 2
    if len(data) < 2:
        raise TruncatedError("header is truncated")
    coded = data[0] | data[1] << 8
    if coded == 1 << 15:
        return decode_exact(data[2:], params.channels, width, height, params.bit_depth)
    if coded >> PASSES or any(coded >> i & 1 for i in set(range(PASSES)) - {s[0] for s in sizes}):
        raise FormatError("a pass is coded that the tile does not have")
    base_size, at = varint(data, 2)
    counts = []
    for _ in range(params.lanes if coded else 0):
        count, at = varint(data, at)
        if count < 2:
            raise FormatError("a lane has at least two words")
        counts.append(count)
    if at + base_size + 2 * sum(counts) != len(data):
        raise TruncatedError("lengths disagree")
    bits = Bits(data[at : at + base_size])
    tables = Tables(model, params, bits)
    tables.read_own(bits, params.channels, coded)
    base = read_base(bits, params.channels, w, h)
    at += base_size
    lanes = []
    for count in counts:
        lane = data[at : at + 2 * count]
        lanes.append(Lane([lane[i] | lane[i + 1] << 8 for i in range(0, len(lane), 2)]))
        at += 2 * count
    unit = max(params.step >> 11, 1)
    planes = [[[wrap16(q * unit) for q in row] for row in plane] for plane in base]
    energies = [[[0] * w for _ in range(h)] for _ in range(min(params.channels, 2))]
    for level, w, h in reversed(sizes):
        halving = Halving(tables, params, level)
        used = lanes if coded >> level & 1 else None
        planes, energies = halving.decode(planes, energies, w, h, used)
    if any(lane.state != 1 << 15 or lane.at != len(lane.words) for lane in lanes):
        raise FormatError("a lane does not end as its encoder left it")
    out = pixel if params.bit_depth == 8 else deep_pixel
    return [[out(planes, tables.colour, y, x) for x in range(width)] for y in range(height)]


def pixel(planes: list[Plane], colour: list[int], y: int, x: int) -> list[int]:
    """Undo the colour transform of one pixel."""
    if len(planes) == 1:
        return [clamp((planes[0][y][x] + 32 + (128 << 6)) >> 6, 0, 255)]
    out = []
    for k in range(3):
        total = sum(colour[3 * c + k] * planes[c][y][x] for c in range(3))
        out.append(clamp((total + (1 << 19) + (128 << 20)) >> 20, 0, 255))
    return out


def deep_pixel(planes: list[Plane], colour: list[int], y: int, x: int) -> list[int]:
    """Undo the colour transform of one pixel of 16 bits."""
    if len(planes) == 1:
        return [clamp(((planes[0][y][x] + (128 << 6)) * 257 + 32) >> 6, 0, 65535)]
    out = []
    for k in range(3):
        total = sum(colour[3 * c + k] * planes[c][y][x] for c in range(3)) + (128 << 20)
        out.append(clamp(((total >> 8) * 257 + (1 << 11)) >> 12, 0, 65535))
    return out
