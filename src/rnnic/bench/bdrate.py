"""BD-rate of codecs against an anchor, with the package bjontegaard."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rnnic.bench.results import Point, Results
from rnnic.errors import MissingDependencyError, OptionError

__all__ = ["BD_MEASURES", "BdRate", "bd_rates"]

BD_MEASURES = {
    "psnr-rgb": "psnr",
    "psnr-y": "psnr_y",
    "ms-ssim": "ms_ssim",
    "ssimulacra2": "ssimulacra2",
}
_LEAST_POINTS = 4


@dataclass(frozen=True)
class BdRate:
    """Change of bytes at equal quality against the anchor, in percent; less is better.

    `images` has a value for each image by id, None where the curves do not overlap or have fewer than
    four points; `mean` is their mean, None without any; `overlap` the mean share of the anchor's
    range of quality that both curves cover.
    """

    codec: str
    measure: str
    images: dict[str, float | None]
    mean: float | None
    overlap: float | None


def _curve(points: Sequence[Point], attribute: str) -> list[tuple[float, float]]:
    """Return bits per pixel and quality, both rising; MS-SSIM as dB of its distance from 1."""
    found: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda p: p.bpp or 0.0):
        quality = getattr(point, attribute)
        if attribute == "ms_ssim" and quality is not None:
            quality = -10 * math.log10(1 - quality) if quality < 1 else math.inf
        if quality is None or not math.isfinite(quality) or not point.bpp:
            continue
        if not found or (quality > found[-1][1] and point.bpp > found[-1][0]):
            found.append((point.bpp, quality))
    return found


def _bd_rate(
    library: Any, anchor: Sequence[tuple[float, float]], test: Sequence[tuple[float, float]]
) -> tuple[float, float] | None:
    """Return BD-rate and overlap, None where there is none."""
    if min(len(anchor), len(test)) < _LEAST_POINTS:
        return None
    low = max(anchor[0][1], test[0][1])
    high = min(anchor[-1][1], test[-1][1])
    if low >= high:
        return None
    value = library.bd_rate(
        *zip(*anchor, strict=True),
        *zip(*test, strict=True),
        method="pchip",
        require_matching_points=False,
        min_overlap=0,
    )
    return float(value), (high - low) / (anchor[-1][1] - anchor[0][1])


def bd_rates(results: Results, anchor: str) -> list[BdRate]:
    """Return the BD-rates of all codecs but the anchor, for each measure.

    Piecewise cubic interpolation (PCHIP) of the logarithm of the rate; image by image.

    Raises
    ------
    OptionError
        If the anchor is not among the codecs.
    MissingDependencyError
        If bjontegaard is not installed.
    """
    if anchor not in results.codecs:
        raise OptionError(
            f"no anchor {anchor!r} in the results; there is {', '.join(results.codecs)}"
        )
    try:
        import bjontegaard
    except ImportError as error:
        raise MissingDependencyError(
            "bjontegaard, which computes BD-rates, is not installed: pip install 'rnnic[bench]'"
        ) from error
    points: dict[tuple[str, str], list[Point]] = {}
    for name in results.codecs:
        for point in results.of_codec(name):
            points.setdefault((name, point.image), []).append(point)
    found = []
    for measure, attribute in BD_MEASURES.items():
        for name in results.codecs:
            if name == anchor:
                continue
            both = {
                image: _bd_rate(
                    bjontegaard,
                    _curve(points.get((anchor, image), []), attribute),
                    _curve(points.get((name, image), []), attribute),
                )
                for image in results.images
            }
            known = [pair for pair in both.values() if pair is not None]
            found.append(
                BdRate(
                    name,
                    measure,
                    {image: pair[0] if pair else None for image, pair in both.items()},
                    statistics.fmean(pair[0] for pair in known) if known else None,
                    statistics.fmean(pair[1] for pair in known) if known else None,
                )
            )
    return found
