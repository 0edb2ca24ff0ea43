"""Pictures of what a file and a model hold, drawn with NumPy and Pillow alone."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from rnnic.methods import TileTrace

__all__ = ["CodedData", "coded_data_picture", "collect_traces", "hash_colours", "palette_picture"]

Pixels = npt.NDArray[np.uint8]

_LABEL_COLOURS = np.array(
    [
        [38, 70, 140],
        [42, 157, 143],
        [233, 196, 106],
        [231, 111, 81],
        [200, 30, 60],
        [120, 120, 120],
    ],
    np.uint8,
)
_BACKGROUND = (250, 250, 250)
_INK = (20, 20, 20)
_FAINT = (205, 205, 205)
_PANEL = 560
_DETAIL = 80
_MARGIN = 16
_TITLE = 30
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class CodedData:
    """Which code stands for each pixel of an image.

    Parameters
    ----------
    labels : uint8 (H, W)
        Index into `names`.
    entries : int32 (H, W)
        Index of the palette entry, -1 where there is none.
    names : sequence of str
        What the labels mean.
    """

    labels: npt.NDArray[np.uint8]
    entries: npt.NDArray[np.int32]
    names: Sequence[str]

    def shares(self) -> list[float]:
        """Return the share of the pixels that each label has."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.names))
        return [float(count) / self.labels.size for count in counts]


def collect_traces(
    traces: Iterable[TileTrace], size: tuple[int, int], names: Sequence[str]
) -> CodedData:
    """Put the traces of tiles together to an image of `size`, height and width."""
    labels = np.zeros(size, np.uint8)
    entries = np.full(size, -1, np.int32)
    for trace in traces:
        height, width = trace.labels.shape
        window = np.s_[trace.y : trace.y + height, trace.x : trace.x + width]
        labels[window] = trace.labels
        entries[window] = trace.entries
    return CodedData(labels, entries, names)


def hash_colours(coded: CodedData) -> Pixels:
    """Return a colour for each pixel (H, W, 3), the same for the same entry; literals are black."""
    colours = np.empty((*coded.labels.shape, 3), np.uint8)
    for y in range(0, len(colours), _ROWS_AT_ONCE):
        rows = np.s_[y : y + _ROWS_AT_ONCE]
        entries = coded.entries[rows]
        value = entries.astype(np.uint32) * np.uint32(8) + coded.labels[rows]
        # The finalizer of MurmurHash3 (Appleby, public domain) sends neighbours far apart.
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            value = (value ^ (value >> np.uint32(shift))) * np.uint32(factor)
        value ^= value >> np.uint32(16)
        for channel in range(3):
            part = value >> np.uint32(8 * channel) & np.uint32(255)
            colours[rows][:, :, channel] = 56 + part * np.uint32(199) // np.uint32(255)
        colours[rows][entries < 0] = 0
    return colours


def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.load_default(size)
    except (ImportError, OSError):
        return ImageFont.load_default()  # Pillow without FreeType has one size only


def _as_rgb(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels).convert("RGB")


def _fitted(picture: Image.Image, side: int, smooth: bool) -> Image.Image:
    """Return the picture scaled so that its longer side is `side`, a whole factor if enlarged."""
    size = _fitted_size(*picture.size, side)
    if size[0] >= picture.width:
        return picture.resize(size, Image.Resampling.NEAREST)
    return picture.resize(size, Image.Resampling.LANCZOS if smooth else Image.Resampling.BOX)


def _fitted_size(width: int, height: int, side: int) -> tuple[int, int]:
    longest = max(width, height)
    if longest <= side:
        return width * (side // longest), height * (side // longest)
    return max(1, round(width * side / longest)), max(1, round(height * side / longest))


def _busiest_window(coded: CodedData, side: int) -> tuple[int, int]:
    """Return the corner x, y of the window of that side with the most even mix of labels."""
    height, width = coded.labels.shape
    best, corner = -1.0, (0, 0)
    for y in range(0, max(1, height - side + 1), max(1, side // 2)):
        for x in range(0, max(1, width - side + 1), max(1, side // 2)):
            part = coded.labels[y : y + side, x : x + side]
            share = np.bincount(part.ravel(), minlength=len(coded.names)) / part.size
            seen = share[share > 0]
            mix = float(-(seen * np.log(seen)).sum())
            if mix > best:
                best, corner = mix, (x, y)
    return corner


def coded_data_picture(
    original: Pixels, reconstruction: Pixels, coded: CodedData, caption: str
) -> Image.Image:
    """Draw an image, its reconstruction and the codes that stand for its pixels.

    The upper row shows the whole image, the lower one a detail, enlarged.

    Parameters
    ----------
    original, reconstruction : uint8 (H, W) or (H, W, 3)
    coded : CodedData
    caption : str
        One line above all.
    """
    # Made one after the other, for each is as large as the image.
    panels: list[tuple[str, Callable[[], Pixels], bool]] = [
        ("original", lambda: original, True),
        ("reconstruction", lambda: reconstruction, True),
        ("code of each pixel", lambda: _LABEL_COLOURS[coded.labels % len(_LABEL_COLOURS)], False),
        ("palette entry (a colour each, literals black)", lambda: hash_colours(coded), False),
    ]
    side = min(_DETAIL, *coded.labels.shape)
    x, y = _busiest_window(coded, side)
    height = _fitted_size(coded.labels.shape[1], coded.labels.shape[0], _PANEL)[1]
    step = _PANEL + _MARGIN
    legend = 2 * _TITLE
    canvas = Image.new(
        "RGB",
        (4 * step + _MARGIN, 3 * _TITLE + height + _PANEL + legend + 4 * _MARGIN),
        _BACKGROUND,
    )
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, 8), caption, _INK, _font(19))
    top = _TITLE + _MARGIN
    lower = top + _TITLE + height + _MARGIN
    draw.text((_MARGIN, lower), f"detail, {side} x {side} pixels at {x}, {y}", _INK, _font(17))
    for index, (title, make, smooth) in enumerate(panels):
        picture = _as_rgb(make())
        left = _MARGIN + index * step
        draw.text((left, top), title, _INK, _font(17))
        whole = _fitted(picture, _PANEL, smooth)
        canvas.paste(whole, (left, top + _TITLE))
        if side < max(picture.size):
            scale = whole.width / picture.width
            corner = (left + x * scale, top + _TITLE + y * scale)
            box = [*corner, corner[0] + side * scale, corner[1] + side * scale]
            draw.rectangle(box, outline=(255, 255, 255), width=2)
        detail = _fitted(picture.crop((x, y, x + side, y + side)), _PANEL, smooth)
        canvas.paste(detail, (left, lower + _TITLE))
    _draw_legend(draw, coded, lower + _TITLE + _PANEL + _MARGIN)
    return canvas


def _draw_legend(draw: ImageDraw.ImageDraw, coded: CodedData, top: int) -> None:
    left = float(_MARGIN)
    font = _font(17)
    for index, (name, share) in enumerate(zip(coded.names, coded.shares(), strict=True)):
        colour = tuple(_LABEL_COLOURS[index % len(_LABEL_COLOURS)].tolist())
        draw.rectangle([left, top, left + 22, top + 22], fill=colour, outline=_INK)
        text = f"{name}: {100 * share:.1f} % of the pixels"
        draw.text((left + 30, top), text, _INK, font)
        left += 30 + draw.textlength(text, font) + 36


def _swatches(entries: npt.NDArray[np.int16], channels: int, columns: int) -> Image.Image:
    """Draw each entry's differences as colours around mid-grey, enlarged in contrast."""
    pixels = entries.shape[1] // channels
    values = entries.astype(np.int32)
    reach = max(16, int(np.quantile(np.abs(values), 0.98)))
    shades = np.clip(128 + values * 110 // reach, 0, 255).astype(np.uint8)
    shades = shades.reshape(len(entries), pixels, channels)
    order = np.argsort(np.abs(values).sum(axis=1), kind="stable")
    rows = -(-len(entries) // columns)
    cell_width = pixels + (pixels > 1)
    sheet = np.full((rows * (1 + (pixels > 1)), columns * cell_width, 3), 255, np.uint8)
    for place, index in enumerate(order.tolist()):
        row, column = divmod(place, columns)
        y, x = row * (1 + (pixels > 1)), column * cell_width
        sheet[y, x : x + pixels] = shades[index]
    return Image.fromarray(sheet)


def _scatter(points: npt.NDArray[np.float64], names: tuple[str, str], side: int) -> Image.Image:
    """Draw points (n, 2), each axis scaled to hold nearly all of them."""
    canvas = Image.new("RGB", (side, side), (255, 255, 255))
    draw = ImageDraw.Draw(canvas)
    middle = side // 2
    draw.line([(middle, 0), (middle, side)], _FAINT)
    draw.line([(0, middle), (side, middle)], _FAINT)
    draw.rectangle([0, 0, side - 1, side - 1], outline=_FAINT)
    reach = np.maximum(1.0, np.ceil(np.quantile(np.abs(points), 0.995, axis=0)))
    inside = (np.abs(points) <= reach).all(axis=1)
    places = middle + points[inside] / reach * (middle - 40)
    for x, y in places.tolist():
        draw.ellipse([x - 1.5, side - y - 1.5, x + 1.5, side - y + 1.5], fill=(38, 70, 140))
    axes = zip(("across", "up"), names, reach.tolist(), strict=True)
    text = ", ".join(f"{way}: {name} ±{end:g}" for way, name, end in axes if name)
    outside = int((~inside).sum())
    beyond = f"; {outside} beyond" if outside else ""
    draw.text((8, 6), f"{text} units{beyond}", (110, 60, 0), _font(15))
    return canvas


def _axes(
    entries: npt.NDArray[np.int16], channels: int
) -> tuple[npt.NDArray[np.float64], tuple[str, str]]:
    """Return two coordinates of each entry, in units, and their names."""
    values = entries.astype(np.float64).reshape(len(entries), -1, channels) / 16
    luma = values.mean(axis=2)
    if luma.shape[1] > 1:
        return luma[:, [0, -1]], ("luma of the first pixel", "luma of the last pixel")
    if channels == 1:
        return np.concatenate([luma, np.zeros_like(luma)], axis=1), ("difference", "")
    chroma = values[:, 0, 0] - values[:, 0, 2]
    return np.stack([luma[:, 0], chroma], axis=1), ("luma", "red minus blue")


def palette_picture(
    palettes: Sequence[npt.NDArray[np.int16]], names: Sequence[str], channels: int, caption: str
) -> Image.Image:
    """Draw palettes as colours and in space.

    Parameters
    ----------
    palettes : sequence of int16 (K, n * channels)
        Entries in 1/16 unit.
    names : sequence of str
        One for each palette.
    channels : int
        1 or 3.
    caption : str
        One line above all.
    """
    step = _PANEL + _MARGIN
    canvas = Image.new(
        "RGB",
        (len(palettes) * step + _MARGIN, 2 * _TITLE + 2 * _PANEL + 3 * _MARGIN),
        _BACKGROUND,
    )
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, 8), caption, _INK, _font(19))
    for index, (entries, name) in enumerate(zip(palettes, names, strict=True)):
        left, top = _MARGIN + index * step, _TITLE + _MARGIN
        draw.text((left, top), f"{name}: {len(entries)} entries", _INK, _font(17))
        if not len(entries):
            continue
        pixels = entries.shape[1] // channels
        cell = (pixels + (pixels > 1)) / (1 + (pixels > 1))
        columns = max(1, round((len(entries) / cell) ** 0.5))
        sheet = _fitted(_swatches(entries, channels, columns), _PANEL, smooth=False)
        canvas.paste(sheet, (left, top + _TITLE))
        points, titles = _axes(entries, channels)
        plot = _scatter(points, titles, _PANEL)
        canvas.paste(plot, (left, top + _TITLE + _PANEL + _MARGIN))
    return canvas
