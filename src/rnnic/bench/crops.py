"""Details of images, as they come out of each codec, for the report."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from rnnic.bench.codecs import registry
from rnnic.bench.measures import luma
from rnnic.bench.results import MATCHED, ImageInfo, Point, Results
from rnnic.bench.runner import image_id, usable_pixels
from rnnic.errors import RnnicError

__all__ = ["Crops", "crops_of"]

Pixels = npt.NDArray[np.uint8]

_SIDE = 224
_BITS_PER_PIXEL = 0.6
"""Of curves, each codec's point nearest to it is shown: few enough for differences to be seen."""


@dataclass
class Crops:
    """Details as values for the page, and why some are missing."""

    images: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def crops_of(parts: Sequence[Results], count: int) -> Crops:
    """Return details of the first `count` images that can still be read.

    Parameters
    ----------
    parts : sequence of Results
        The first one counts: of matched files the goal of the lowest PSNR, of curves the points
        around 0.6 bits per pixel.
    count : int
    """
    found = Crops()
    if not parts:
        return found
    results = parts[0]
    for image in results.images.values():
        if len(found.images) >= count:
            break
        points = _chosen(results, image)
        try:
            pixels = usable_pixels(Path(image.path))
        except (RnnicError, OSError) as error:
            found.failures.append(f"no detail of {image.name}: {error}")
            continue
        if image_id(pixels) != image.id:
            found.failures.append(
                f"no detail of {image.name}: {image.path} holds another image now"
            )
            continue
        if points:
            found.images.append(_crop(pixels, image, points, found.failures))
    return found


def _chosen(results: Results, image: ImageInfo) -> list[Point]:
    """Return a point of each codec."""
    found = []
    goals = [p.goal for p in results.points.values() if p.image == image.id and p.goal is not None]
    for name in results.codecs:
        own = [point for point in results.of_codec(name) if point.image == image.id]
        if results.mode == MATCHED:
            own = [point for point in own if point.goal == min(goals)]
        if own:
            found.append(min(own, key=lambda p: abs(math.log((p.bpp or 1e-9) / _BITS_PER_PIXEL))))
    return found


def _crop(
    pixels: Pixels, image: ImageInfo, points: Sequence[Point], failures: list[str]
) -> dict[str, Any]:
    """Code an image again as each point says, and cut the detail out."""
    side = min(_SIDE, *pixels.shape[:2])
    y, x = _busiest(pixels, side)
    window = np.s_[y : y + side, x : x + side]
    items: dict[str, dict[str, Any]] = {"original": {"src": _address(pixels[window])}}
    codecs = registry()
    for point in points:
        if point.codec not in codecs or point.setting is None:
            continue
        codec = codecs[point.codec]
        try:
            copy = codec.decode(codec.encode(pixels, point.setting), grey=pixels.ndim == 2)
        except RnnicError as error:
            failures.append(f"no detail of {image.name} by {codec.name}: {error}")
            continue
        items[codec.name] = {
            "src": _address(copy[window]),
            "bpp": point.bpp,
            "psnr": point.psnr if point.psnr != math.inf else None,
        }
    return {"name": image.name, "x": x, "y": y, "side": side, "items": items}


def _busiest(pixels: Pixels, side: int) -> tuple[int, int]:
    """Return y and x of the window with the strongest gradients."""
    plane = luma(pixels)
    strength = np.zeros(plane.shape)
    strength[1:] += np.abs(np.diff(plane, axis=0))
    strength[:, 1:] += np.abs(np.diff(plane, axis=1))
    sums = np.pad(strength, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    whole = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    y, x = np.unravel_index(int(whole.argmax()), whole.shape)
    return int(y), int(x)


def _address(pixels: Pixels) -> str:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
