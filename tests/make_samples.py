"""``python tests/make_samples.py ASTRONAUT``: write the samples that come with the viewer's page.

The drawings are made here. ASTRONAUT is ``skimage/data/astronaut.png`` of scikit-image 0.26; see
``web/samples/README.txt``.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import rnnic

FOLDER = Path(__file__).parent.parent / "web" / "samples"
Pixels = NDArray[Any]


@dataclass(frozen=True)
class Sample:
    """One file; ``draw`` is None for what is made of the photo, whose part ``crop`` is."""

    title: str
    about: str
    options: dict[str, Any]
    draw: Callable[[], Pixels] | None = None
    crop: tuple[int, int, int, int] = (0, 0, 512, 512)


def _grid(height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    return y, x


def draw_spheres() -> NDArray[np.uint8]:
    """Return balls, lit from the upper left, above a floor of squares: ``(480, 640, 3)``.

    Only exactly rounded operations are used, so that it is the same everywhere.
    """
    y, x = _grid(480, 640)
    sky = np.stack([90 + y / 4, 140 + y / 5, 215 + y / 16], axis=-1)
    depth = 9000 / np.maximum(y - 250, 1)
    squares = (np.floor(depth / 12) + np.floor((x - 320) * depth / 2400)) % 2
    floor = (squares[..., None] * [120, 110, 95] + [90, 85, 80]) * (
        0.6 + (y[..., None] - 250) / 575
    )
    scene = np.where((y > 280)[..., None], floor, np.minimum(sky, 255))
    balls = (
        (190, 270, 110, (215, 60, 45)),
        (400, 300, 80, (50, 130, 210)),
        (520, 350, 55, (235, 185, 40)),
    )
    for cx, cy, radius, colour in balls:
        u, v = (x - cx) / radius, (y - cy) / radius
        shadow = ((x - cx - radius / 2) / radius) ** 2 + ((y - cy - radius) / (radius / 5)) ** 2 < 1
        scene[shadow] *= 0.55
        inside = u * u + v * v < 1
        height = np.sqrt(np.maximum(1 - u * u - v * v, 0))
        light = np.maximum(-0.5 * u - 0.6 * v + 0.62 * height, 0)
        shine = light * light * light * light
        shine = 110 * shine * shine * shine
        lit = (0.25 + 0.75 * light)[..., None] * np.array(colour) + shine[..., None]
        scene[inside] = lit[inside]
    return np.clip(np.floor(scene + 0.5), 0, 255).astype(np.uint8)


def draw_rings() -> NDArray[np.uint8]:
    """Return three rings of glass that fade to nothing: RGB and alpha, ``(240, 320, 4)``."""
    y, x = _grid(240, 320)
    colour = np.zeros((240, 320, 3))
    cover = np.zeros((240, 320))
    for cx, cy, own in (
        (110, 95, (230, 60, 90)),
        (210, 95, (40, 160, 220)),
        (160, 155, (80, 190, 90)),
    ):
        distance = np.abs(np.sqrt((x - cx) ** 2 + (y - cy) ** 2) - 55)
        alpha = np.clip((24 - distance) / 10, 0, 1) * (0.45 + y / 480)
        colour = colour * (1 - alpha[..., None]) + alpha[..., None] * np.array(own)
        cover = cover + alpha * (1 - cover)
    plain = colour / np.maximum(cover, 1 / 512)[..., None]
    pixels = np.concatenate([np.clip(plain, 0, 255), 255 * cover[..., None]], axis=-1)
    rounded: Pixels = np.floor(pixels + 0.5).astype(np.uint8)
    return rounded


def draw_ramp() -> Pixels:
    """Return steps of a few of 65535 levels, in a ramp and in squares: ``(256, 512)``, 16 bits."""
    y, x = np.mgrid[0:256, 0:512]
    ramp = 128 * x + y // 2
    squares = ((x // 32 + y // 32) % 2) * 1024
    pixels: Pixels = np.minimum(ramp + np.where(y >= 128, squares, 0), 65535).astype(np.uint16)
    return pixels


SAMPLES = {
    "astronaut": Sample("Astronaut", "photo, 4 tiles", {"quality": 85, "tile_size": 256}),
    "astronaut-raster": Sample(
        "Astronaut, close",
        "method raster, bounded error",
        {"method": "raster", "error_threshold": 12},
        crop=(150, 20, 342, 212),
    ),
    "spheres": Sample(
        "Spheres", "drawn scene, 6 tiles", {"quality": 90, "tile_size": 256}, draw_spheres
    ),
    "rings": Sample("Rings", "transparency", {"quality": 90}, draw_rings),
    "ramp": Sample(
        "Ramp", "grey, 16 bits, lossless", {"method": "raster", "error_threshold": 0}, draw_ramp
    ),
}


def main(photo: Path) -> None:
    """Write all samples and their list."""
    with Image.open(photo) as opened:
        picture = opened.convert("RGB")
    FOLDER.mkdir(exist_ok=True)
    listed = []
    for name, sample in SAMPLES.items():
        pixels = sample.draw() if sample.draw else np.asarray(picture.crop(sample.crop))
        data = rnnic.encode(pixels, **sample.options)
        (FOLDER / f"{name}.rnnic").write_bytes(data)
        listed.append({"name": f"{name}.rnnic", "title": sample.title, "about": sample.about})
    (FOLDER / "samples.json").write_text(json.dumps(listed, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
