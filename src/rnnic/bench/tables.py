"""Results as tables for the terminal, and the sums they show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rnnic.bench.bdrate import BdRate
from rnnic.bench.results import Point, Results

__all__ = [
    "Total",
    "base_codec",
    "bd_table",
    "failures",
    "goals",
    "matched_table",
    "ratio",
    "speed_table",
    "totals",
]


@dataclass(frozen=True)
class Total:
    """A codec's points together: MP/s, MB of peak memory, bytes of the images it did.

    `count` is the number of points, `complete` says whether no image is missing.
    """

    codec: str
    count: int
    complete: bool
    bytes: int
    psnr: float
    encode: float | None
    decode: float | None
    encode_peak_mb: float | None
    decode_peak_mb: float | None


def goals(results: Results) -> list[str]:
    """Return the goals of matched results: codecs' PSNR by name, then numbers, the highest first."""
    found = {point.rung for point in results.points.values()}
    numbers = {rung for rung in found if rung.endswith(" dB")}
    return sorted(found - numbers) + sorted(numbers, key=lambda rung: -float(rung.split()[0]))


def _speed(results: Results, points: Sequence[Point], attribute: str) -> float | None:
    """Return megapixels per second over points, None where one has no time."""
    seconds = [getattr(point, attribute) for point in points]
    if not seconds or None in seconds or not sum(seconds):
        return None
    images = (results.images[point.image] for point in points)
    return sum(image.width * image.height for image in images) / 1e6 / float(sum(seconds))


def _greatest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def totals(results: Results, rung: str | None = None) -> list[Total]:
    """Return each codec's sums over its points, or those of one rung."""
    found = []
    for name in results.codecs:
        points = [p for p in results.of_codec(name) if rung is None or p.rung == rung]
        if not points:
            continue
        found.append(
            Total(
                codec=name,
                count=len(points),
                complete={p.image for p in points} == results.images.keys(),
                bytes=sum(p.bytes or 0 for p in points),
                psnr=sum(p.psnr or 0.0 for p in points) / len(points),
                encode=_speed(results, points, "encode_seconds"),
                decode=_speed(results, points, "decode_seconds"),
                encode_peak_mb=_greatest([p.encode_peak_mb for p in points]),
                decode_peak_mb=_greatest([p.decode_peak_mb for p in points]),
            )
        )
    return found


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _costs(total: Total | None) -> str:
    if total is None:
        return f" {'-':>9} {'-':>9} {'-':>7} {'-':>7}"
    return (
        f" {_cell(total.encode, '9.2f'):>9} {_cell(total.decode, '9.1f'):>9}"
        f" {_cell(total.encode_peak_mb, '7.0f'):>7} {_cell(total.decode_peak_mb, '7.0f'):>7}"
    )


_COSTS = f" {'enc MP/s':>9} {'dec MP/s':>9} {'enc MB':>7} {'dec MB':>7}"


def base_codec(results: Results, rung: str) -> str | None:
    """Return the codec that a goal's ratios are to: its reference, or else JPEG, or the last listed."""
    done = [name for name in results.codecs if any(p.rung == rung for p in results.of_codec(name))]
    for name in (rung.partition(" ")[0], "jpeg-420"):
        if name in done:
            return name
    return done[-1] if done else None


def ratio(results: Results, rung: str, name: str, base: str | None) -> float | None:
    """Return a codec's bytes over the base's, on the images that both did; None without any."""
    sizes = {(p.codec, p.image): p.bytes or 0 for p in results.points.values() if p.rung == rung}
    shared = [i for i in results.images if sizes.get((name, i)) and sizes.get((base or "", i))]
    if not shared:
        return None
    return sum(sizes[name, i] for i in shared) / sum(sizes[base or "", i] for i in shared)


def matched_table(results: Results, rung: str) -> list[str]:
    """Return the table of one goal, the smallest files first.

    Ratios are to the bytes of `base_codec`, on the images that both codecs did.
    """
    named = rung.partition(" ")[0] in results.codecs
    base = base_codec(results, rung)
    lines = [
        f"smallest files {'at no less than the PSNR of' if named else 'of at least'} {rung}",
        f"{'codec':<12} {'images':>6} {'bytes':>11} {'ratio':>7} {'dB':>6}{_COSTS}",
    ]
    rows = []
    for total in totals(results, rung):
        share = ratio(results, rung, total.codec, base)
        text = (
            f"{total.codec:<12} {total.count:>6} {total.bytes:>11} {_cell(share, '7.4f'):>7}"
            f" {total.psnr:>6.2f}{_costs(total)}"
        )
        rows.append((math.inf if share is None else share, text))
    lines += [row for _, row in sorted(rows)]
    for name in results.codecs:
        short = [
            p for p in results.points.values() if (p.codec, p.rung) == (name, rung) and p.error
        ]
        if short:
            lines.append(f"{name:<12} not on {len(short)}: {short[0].error}")
    return lines


def bd_table(results: Results, rates: Sequence[BdRate], anchor: str) -> list[str]:
    """Return BD-rates in percent: all measures of all images, then PSNR image by image."""
    measures = list(dict.fromkeys(rate.measure for rate in rates))
    found = {(rate.codec, rate.measure): rate for rate in rates}
    names = list(dict.fromkeys(rate.codec for rate in rates))
    heading = "".join(f" {measure:>12}" for measure in measures)
    lines = [
        f"BD-rate against {anchor}, %, mean of the images;"
        f" overlap: share of the anchor's range of {measures[0]} that both cover"
        if measures
        else f"no codec beside {anchor}",
        f"{'codec':<12}{heading} {'overlap':>8}",
    ]
    lines += [
        f"{name:<12}"
        + "".join(f" {_cell(found[name, measure].mean, '+12.1f'):>12}" for measure in measures)
        + f" {_cell(found[name, measures[0]].overlap, '8.0%'):>8}"
        for name in names
    ]
    lines += ["", f"BD-rate of {measures[0]} by image, %" if measures else ""]
    width = max((len(image.name) for image in results.images.values()), default=0)
    lines.append(" " * width + "".join(f" {name:>10}" for name in names))
    for image in results.images.values():
        values = [found[name, measures[0]].images.get(image.id) for name in names]
        lines.append(
            f"{image.name:<{width}}" + "".join(f" {_cell(v, '+10.1f'):>10}" for v in values)
        )
    return lines


def speed_table(results: Results) -> list[str]:
    """Return speed and memory of all codecs over all points of curves."""
    lines = ["one thread, all settings together", f"{'codec':<12} {'points':>6}{_COSTS}"]
    lines += [f"{t.codec:<12} {t.count:>6}{_costs(t)}" for t in totals(results)]
    return lines


def failures(results: Results) -> list[str]:
    """Return a line for each point that failed for another reason than a goal out of reach."""
    return [
        f"{results.images[point.image].name}: {point.error}"
        for point in results.points.values()
        if point.error and point.psnr is None
    ]
