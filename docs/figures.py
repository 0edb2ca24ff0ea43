"""Draw the pictures of the tutorial and of the page on how it works: ``python docs/figures.py``.

Needs ``pip install 'rnnic[bench]'``. They are drawn of ``examples/kodim23.png`` into ``docs/images``.
"""

import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from figures_pyramid import draw_classes, draw_palette, draw_passes, draw_prediction
from matplotlib.figure import Figure
from PIL import Image

import rnnic

HERE = Path(__file__).parent
PHOTO = HERE.parent / "examples" / "kodim23.png"
MAX_BYTES = 120_000
GAP = 6

Pixels = npt.NDArray[np.uint8]


def save(picture: Image.Image, name: str) -> None:
    """Write a picture, with fewer colours if it is too large otherwise."""
    path = HERE / "images" / name
    picture = picture.convert("RGB")
    for colours in (None, 256, 128, 64, 32):
        shown = picture if colours is None else picture.quantize(colours)
        shown.save(path, optimize=True)
        if path.stat().st_size < MAX_BYTES:
            print(f"{path.name}: {path.stat().st_size} bytes, {colours or 'all'} colours")
            return
    raise SystemExit(f"{path.name} has more than {MAX_BYTES} bytes")


def save_figure(figure: Figure, name: str) -> None:
    """Write a figure."""
    drawn = io.BytesIO()
    figure.savefig(drawn)
    save(Image.open(drawn), name)


def beside(parts: list[Pixels]) -> Image.Image:
    """Put images side by side, on white, their lower edges in line."""
    height = max(len(part) for part in parts)
    width = sum(part.shape[1] for part in parts) + GAP * (len(parts) - 1)
    sheet = np.full((height, width, 3), 255, np.uint8)
    x = 0
    for part in parts:
        sheet[height - len(part) :, x : x + part.shape[1]] = part
        x += part.shape[1] + GAP
    return Image.fromarray(sheet)


def enlarged(part: Pixels, factor: int) -> Pixels:
    """Return an image with its pixels as squares."""
    return part.repeat(factor, axis=0).repeat(factor, axis=1)


def draw_targets(image: Pixels) -> None:
    """Draw the same part at four targets."""
    parts = []
    for target in (48, 40, 34, 30):
        data = rnnic.encode(image, target_psnr=target)
        print(f"target_psnr={target}: {len(data)} bytes")
        parts.append(enlarged(rnnic.decode(data, region=(450, 120, 96, 96)), 2))
    save(beside(parts), "targets.png")


def draw_reduced(image: Pixels) -> None:
    """Draw the image at fractions of its size."""
    data = rnnic.encode(image)
    save(beside([rnnic.decode(data, reduce=k) for k in (1, 2, 3)]), "reduced.png")


def draw_damaged(image: Pixels) -> None:
    """Draw what is left of a file with a changed byte, and of one without its end."""
    data = rnnic.encode(image, tile_size=128)
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rnnic.DamageWarning)
        parts = [
            rnnic.decode(left, reduce=1, on_error="fill")
            for left in (bytes(changed), data[: 2 * len(data) // 3])
        ]
    save(beside(parts), "damaged.png")


def main() -> None:
    """Draw everything."""
    image = np.asarray(Image.open(PHOTO).convert("RGB"))
    for draw in (draw_targets, draw_reduced, draw_damaged):
        draw(image)
    save_figure(draw_palette(), "palette-space.png")
    save_figure(draw_classes(image[60:444, 400:]), "classes.png")
    save_figure(draw_prediction(image[70:262, 440:632]), "prediction.png")
    save_figure(draw_passes(image), "passes.png")


if __name__ == "__main__":
    main()
