"""The HTML report: one page that loads nothing, with its figures drawn from the data in it."""

import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from rnnic.bench import tables
from rnnic.bench.bdrate import bd_rates
from rnnic.bench.codecs import registry
from rnnic.bench.crops import Crops, crops_of
from rnnic.bench.results import CURVE, MATCHED, CodecInfo, Point, Results
from rnnic.errors import RnnicError

__all__ = ["make_report"]

_COLOURS = 15
_CORNER = "The best corner is at the bottom right; the dashed line joins what nothing beats."
_CURVE_MEASURES = (
    ("psnr-rgb", "psnr", "PSNR of RGB, dB", 2),
    ("psnr-y", "psnr_y", "PSNR of luma, dB", 2),
    ("ssimulacra2", "ssimulacra2", "SSIMULACRA2", 1),
    ("ms-ssim", "ms_ssim", "MS-SSIM of luma", 4),
    ("ssim", "ssim", "SSIM of luma", 4),
    ("max-error", "max_error", "greatest error of a pixel", 1),
)


def make_report(parts: Sequence[Results], anchor: str, crops: int = 3) -> str:
    """Return the page of results.

    Parameters
    ----------
    parts : sequence of Results
        At most one of each mode.
    anchor : str
        Codec that BD-rates are against.
    crops : int
        Of how many images a detail is shown. The images are read again, from where they were, and
        coded again at the settings measured.

    Raises
    ------
    RnnicError
        If two parts are of the same mode, or there is no point at all.
    """
    by_mode = {part.mode: part for part in parts}
    if len(by_mode) < len(parts):
        raise RnnicError("two results of the same kind; merge them first: rnnic bench merge")
    if not any(part.points for part in parts):
        raise RnnicError("there is no point in the results; measure something first")
    curve, matched = by_mode.get(CURVE), by_mode.get(MATCHED)
    known: dict[str, CodecInfo] = {}
    for part in parts:
        known |= part.codecs
    order = [name for name in registry() if name in known]
    order += [name for name in known if name not in order]
    shown = crops_of([part for part in (matched, curve) if part is not None], crops)
    bd, bd_failure = _bd(curve, anchor, order) if curve else (None, None)
    data = {
        "lead": _lead(parts, known),
        "codecs": [_codec(known[name], place) for place, name in enumerate(order)],
        "measures": _measures(curve) if curve else [],
        "curves": _curves(curve, order) if curve else {},
        "curve_codecs": [name for name in order if curve and name in curve.codecs],
        "curve_images": _named_images(curve) if curve else [],
        "bd": bd,
        "matched": [_goal(matched, rung) for rung in tables.goals(matched)] if matched else [],
        "pareto": _pareto(matched, bd, curve),
        "crops": shown.images,
        "costs": _costs(parts, order),
        "machines": _machines(parts),
        "left_out": _left_out(parts, shown, bd_failure),
    }
    page = files("rnnic.bench").joinpath("page")
    text = page.joinpath("report.html").read_text(encoding="utf-8")
    # A "<" in the data, in a file's name say, must not end the script that holds it.
    held = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    for mark, content in (
        ("/*STYLE*/", page.joinpath("report.css").read_text(encoding="utf-8")),
        ("/*SCRIPT*/", page.joinpath("report.js").read_text(encoding="utf-8")),
        ("/*DATA*/", held),
    ):
        text = text.replace(mark, content)
    return text


def _codec(codec: CodecInfo, place: int) -> dict[str, Any]:
    places = {name: index for index, name in enumerate(registry())}
    return {
        "name": codec.name,
        "label": codec.label,
        "description": codec.description,
        "version": codec.version,
        "own": codec.own,
        "colour": places.get(codec.name, place) % _COLOURS,
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _lead(parts: Sequence[Results], known: dict[str, CodecInfo]) -> str:
    images = {image.id: image for part in parts for image in part.images.values()}
    area = sum(image.width * image.height for image in images.values()) / 1e6
    return (
        f"{_count(len(known), 'codec')} on {_count(len(images), 'image')} of {area:.1f} megapixels in"
        " all: what each needs for the same quality, and how long it takes on one thread."
    )


def _named_images(results: Results) -> list[dict[str, str]]:
    return [{"id": image.id, "name": image.name} for image in results.images.values()]


def _measures(results: Results) -> list[dict[str, Any]]:
    """Return the measures that there are values of."""
    return [
        {"key": key, "name": name, "digits": digits}
        for key, attribute, name, digits in _CURVE_MEASURES
        if any(getattr(point, attribute) is not None for point in results.points.values())
    ]


def _curves(results: Results, order: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return points (bits per pixel, quality) by measure, image or ``mean``, and codec."""
    found: dict[str, dict[str, Any]] = {}
    for key, attribute, _, _ in _CURVE_MEASURES:
        lines: dict[str, Any] = {image: {} for image in ("mean", *results.images)}
        for name in order:
            if name not in results.codecs:
                continue
            means = results.means(name)
            pairs = zip(means["bpp"], means[key], strict=True)
            _add(lines["mean"], name, ((x, y) for x, y in pairs))
            for image in results.images:
                own = (point for point in results.of_codec(name) if point.image == image)
                _add(lines[image], name, ((point.bpp, getattr(point, attribute)) for point in own))
        found[key] = lines
    return found


def _add(
    lines: dict[str, Any], name: str, pairs: Iterable[tuple[float | None, float | None]]
) -> None:
    known = [(x, y) for x, y in pairs if x and y is not None and abs(y) != float("inf")]
    if known:
        lines[name] = [[round(x, 5), round(y, 5)] for x, y in sorted(known)]


def _bd(
    results: Results, anchor: str, order: Sequence[str]
) -> tuple[dict[str, Any] | None, str | None]:
    """Return the BD-rates; or None, and why there are none."""
    try:
        rates = bd_rates(results, anchor)
    except RnnicError as error:
        return None, f"BD-rates: {error}"
    found = {(rate.codec, rate.measure): rate for rate in rates}
    measures = list(dict.fromkeys(rate.measure for rate in rates))
    names = [name for name in order if (name, measures[0]) in found] if measures else []
    if not any(rate.mean is not None for rate in rates):
        return None, f"BD-rates: no curve overlaps that of {anchor} in four points"
    rows: list[dict[str, Any]] = [
        {
            "codec": name,
            "means": [found[name, measure].mean for measure in measures],
            "overlap": found[name, measures[0]].overlap,
        }
        for name in names
    ]
    rows.sort(key=lambda row: (row["means"][0] is None, row["means"][0] or 0.0))
    images = [
        {
            "name": image.name,
            "values": [found[row["codec"], measures[0]].images.get(image.id) for row in rows],
        }
        for image in results.images.values()
    ]
    note = (
        f"Mean change of the bytes at equal quality against {results.codecs[anchor].label}; less is"
        " better. PCHIP interpolation, image by image, over the quality that both curves cover;"
        " where the overlaps differ much, so do the ranges that the rates are of."
    )
    return {
        "anchor": anchor,
        "measures": measures,
        "rows": rows,
        "images": images,
        "note": note,
    }, None


def _goal(results: Results, rung: str) -> dict[str, Any]:
    """Return the matched files of one goal, the smallest first."""
    sums = {total.codec: total for total in tables.totals(results, rung)}
    named = rung.partition(" ")[0]
    base = tables.base_codec(results, rung)
    points = {(p.codec, p.image): p for p in results.points.values() if p.rung == rung}
    rows = []
    for name in results.codecs:
        total = sums.get(name)
        failed = [p for (codec, _), p in points.items() if codec == name and p.error]
        note = f"not on {len(failed)} of {len(results.images)}: {failed[0].error}" if failed else ""
        rows.append(
            {
                "codec": name,
                "ratio": tables.ratio(results, rung, name, base) if total else None,
                "bytes": total.bytes if total else None,
                "psnr": total.psnr if total and total.psnr != float("inf") else None,
                "encode": total.encode if total else None,
                "decode": total.decode if total else None,
                "note": note,
            }
        )
    rows.sort(key=lambda row: (row["ratio"] is None, row["ratio"] or 0.0))
    images = []
    for image in results.images.values():
        reference = points.get((base or "", image.id))
        ratios = {name: _ratio(points.get((name, image.id)), reference) for name in results.codecs}
        goals = [p.goal for (_, key), p in points.items() if key == image.id and p.goal is not None]
        finite = [goal for goal in goals if goal != float("inf")]
        images.append({"name": image.name, "psnr": finite[0] if finite else None, "ratios": ratios})
    if named in results.codecs:
        setting = rung.partition(" ")[2]
        title = f"PSNR of {results.codecs[named].label} at {setting}"
        note = f"Each image at no less than the PSNR it has as {results.codecs[named].label} at {setting}."
    else:
        title, note = f"at least {rung}", f"Each image at no less than {rung}."
    own_control = " Every codec's own control was searched for its smallest file."
    return {
        "title": title,
        "note": note + own_control,
        "base": base,
        "rows": rows,
        "images": images,
    }


def _ratio(point: Point | None, reference: Point | None) -> float | None:
    if point is None or reference is None or not point.bytes or not reference.bytes:
        return None
    return point.bytes / reference.bytes


def _pareto(
    matched: Results | None, bd: dict[str, Any] | None, curve: Results | None
) -> dict[str, Any] | None:
    """Return bytes against decoding speed, from matched files or else from BD-rates."""
    points: list[dict[str, Any]] = []
    if matched and (rungs := tables.goals(matched)):
        goal = _goal(matched, rungs[0])
        points = [
            {"codec": row["codec"], "size": row["ratio"], "decode": row["decode"]}
            for row in goal["rows"]
            if row["ratio"] is not None and row["decode"] and not row["note"]
        ]
        base = matched.codecs[goal["base"]].label if goal["base"] else "the first codec"
        name = f"bytes / bytes of {base} (smaller ↓)"
        note = f"{goal['note']} {_CORNER}"
    elif bd and curve:
        speeds = {total.codec: total.decode for total in tables.totals(curve)}
        for row in bd["rows"]:
            if row["means"][0] is not None and speeds.get(row["codec"]):
                size = 1 + row["means"][0] / 100
                points.append({"codec": row["codec"], "size": size, "decode": speeds[row["codec"]]})
        if speeds.get(bd["anchor"]):
            points.append({"codec": bd["anchor"], "size": 1.0, "decode": speeds[bd["anchor"]]})
        label = curve.codecs[bd["anchor"]].label
        name = f"bytes at equal PSNR / bytes of {label} (smaller ↓)"
        note = f"Bytes from the BD-rate of PSNR, speed over all settings. {_CORNER}"
    if len(points) < 2:
        return None
    return {"points": points, "size_name": name, "note": note}


def _costs(parts: Sequence[Results], order: Sequence[str]) -> list[dict[str, Any]]:
    """Return speed and memory, of curves' points if there are any."""
    chosen = max(parts, key=lambda part: (bool(part.points), part.mode == CURVE))
    sums = {total.codec: total for total in tables.totals(chosen)}
    names = ("codec", "encode", "decode", "encode_peak_mb", "decode_peak_mb")
    return [{key: getattr(sums[name], key) for key in names} for name in order if name in sums]


def _machines(parts: Sequence[Results]) -> list[str]:
    """Return a line for each machine that points were measured on."""
    used = {point.machine for part in parts for point in part.points.values()}
    found = {}
    for part in parts:
        for key, machine in part.machines.items():
            if key in used:
                packages = ", ".join(f"{name} {v}" for name, v in machine["packages"].items())
                found[key] = (
                    f"{machine['processor']}, {_count(machine['cpus'], 'CPU')}, {machine['system']}"
                    f" ({machine['architecture']}); Python {machine['python']}, {packages}."
                )
    return list(found.values())


def _left_out(parts: Sequence[Results], shown: Crops, bd_failure: str | None) -> list[str]:
    lines = [why for part in parts for why in part.skipped.values()]
    lines += [line for part in parts for line in tables.failures(part)]
    lines += shown.failures
    if bd_failure:
        lines.append(bd_failure)
    return lines
