"""Results of a benchmark: points, means, the file that holds them, merging, CSV.

The file is JSON. Its ``codecs`` are in the layout of CompressAI's benchmarks, ``name``, ``description``
and ``results`` with a list for each measure (means over the images); beside that stand the single points.
"""

import csv
import io
import json
import math
import os
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from rnnic.errors import RnnicError
from rnnic.output import atomic_output

__all__ = ["CURVE", "MATCHED", "MEASURES", "CodecInfo", "ImageInfo", "Point", "Results", "merge"]

FORMAT = "rnnic-bench 1"
CURVE, MATCHED = "curve", "matched"

MEASURES = {
    "bpp": "bpp",
    "psnr-rgb": "psnr",
    "psnr-y": "psnr_y",
    "ssim": "ssim",
    "ms-ssim": "ms_ssim",
    "ssimulacra2": "ssimulacra2",
    "max-error": "max_error",
    "encoding_time": "encode_seconds",
    "decoding_time": "decode_seconds",
}
"""Keys of ``results``, and the attribute of a point each is the mean of."""


@dataclass(frozen=True)
class ImageInfo:
    """An image: its name and path, the SHA-256 of its pixels (16 digits), its size."""

    name: str
    path: str
    id: str
    width: int
    height: int
    channels: int


@dataclass(frozen=True)
class CodecInfo:
    """A codec as it was used."""

    name: str
    label: str
    description: str
    version: str
    own: bool


@dataclass(frozen=True, kw_only=True)
class Point:
    """One codec on one image at one setting.

    Attributes
    ----------
    image, codec : str
        Id and name.
    rung : str
        What it belongs to: a setting of a curve, a goal of matched files.
    version, machine : str
        Of the codec; id of the machine.
    goal : float or None
        dB that were to be met; None in a curve.
    error : str or None
        Why there is no result; the other values are None then, but for `psnr` where a goal is out of
        reach.
    psnr : float or None
        dB; infinity where the copy is equal.
    encode_seconds, decode_seconds : float or None
        Medians of `rounds` each.
    encode_peak_mb, decode_peak_mb : float or None
        Greatest growth of a process' memory.
    """

    image: str
    codec: str
    rung: str
    version: str
    machine: str
    goal: float | None = None
    error: str | None = None
    setting: float | None = None
    bytes: int | None = None
    bpp: float | None = None
    psnr: float | None = None
    psnr_y: float | None = None
    ssim: float | None = None
    ms_ssim: float | None = None
    ssimulacra2: float | None = None
    max_error: float | None = None
    encode_seconds: float | None = None
    decode_seconds: float | None = None
    rounds: int = 0
    encode_peak_mb: float | None = None
    decode_peak_mb: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What the point is of."""
        return (self.image, self.codec, self.rung)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON has them: infinity, which it lacks, as a text."""
    return {
        key: "Infinity" if isinstance(value, float) and math.isinf(value) else value
        for key, value in values.items()
    }


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: math.inf if value == "Infinity" else value for key, value in values.items()}


@dataclass
class Results:
    """All points of one kind of benchmark, and what they are of."""

    mode: str
    images: dict[str, ImageInfo] = field(default_factory=dict)
    codecs: dict[str, CodecInfo] = field(default_factory=dict)
    points: dict[tuple[str, str, str], Point] = field(default_factory=dict)
    machines: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, point: Point) -> None:
        """Add a point; it takes the place of an older one."""
        self.points[point.key] = point

    def of_codec(self, name: str) -> list[Point]:
        """Return a codec's points that have a result."""
        return [p for p in self.points.values() if p.codec == name and p.error is None]

    def rungs(self, name: str) -> list[str]:
        """Return a codec's rungs in the order of their mean size."""
        sizes: dict[str, list[float]] = {}
        for point in self.of_codec(name):
            sizes.setdefault(point.rung, []).append(point.bpp or 0.0)
        return sorted(sizes, key=lambda rung: (statistics.fmean(sizes[rung]), rung))

    def means(self, name: str) -> dict[str, list[float | None]]:
        """Return a codec's means over the images, a list over its rungs for each measure.

        Rungs that lack an image are left out: their means would be of other images. A measure is
        None where an image lacks it or it is infinite.
        """
        complete: dict[str, dict[str, Point]] = {}
        for point in self.of_codec(name):
            complete.setdefault(point.rung, {})[point.image] = point
        rungs = [rung for rung in self.rungs(name) if complete[rung].keys() == self.images.keys()]
        found: dict[str, list[float | None]] = {}
        for key, attribute in MEASURES.items():
            found[key] = [
                _mean([getattr(point, attribute) for point in complete[rung].values()])
                for rung in rungs
            ]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        of_codec: dict[str, list[dict[str, Any]]] = {name: [] for name in self.codecs}
        for key in sorted(self.points):
            of_codec[self.points[key].codec].append(_plain(asdict(self.points[key])))
        count = len(self.images)
        return {
            "format": FORMAT,
            "mode": self.mode,
            "name": f"rnnic bench {self.mode}",
            "description": f"{len(self.codecs)} codecs on {count} image{'s' * (count != 1)}",
            "machines": self.machines,
            "images": [asdict(image) for image in self.images.values()],
            "skipped": [{"path": path, "reason": why} for path, why in self.skipped.items()],
            "codecs": [
                asdict(codec) | {"results": self.means(name), "points": of_codec[name]}
                for name, codec in self.codecs.items()
            ],
        }

    @classmethod
    def from_dict(cls, values: Any) -> "Results":
        """Return the results of JSON values.

        Raises
        ------
        RnnicError
            If they are none.
        """
        try:
            if values["format"] != FORMAT or values["mode"] not in (CURVE, MATCHED):
                raise ValueError(f"its format is {values['format']!r}, not {FORMAT!r}")
            results = cls(values["mode"], machines=dict(values["machines"]))
            for image in values["images"]:
                results.images[image["id"]] = ImageInfo(**image)
            for skipped in values["skipped"]:
                results.skipped[skipped["path"]] = skipped["reason"]
            for codec in values["codecs"]:
                kept = {f.name: codec[f.name] for f in fields(CodecInfo)}
                results.codecs[codec["name"]] = CodecInfo(**kept)
                for point in codec["points"]:
                    results.add(Point(**_numbers(point)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RnnicError(f"not a result of rnnic bench: {error}") from error
        return results

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Results":
        """Read a file of results.

        Raises
        ------
        RnnicError
            If it is none; the message names it.
        OSError
            If it cannot be read.
        """
        try:
            values = json.loads(Path(path).read_bytes())
        except (ValueError, RecursionError) as error:
            raise RnnicError(f"{path}: not JSON: {error}") from error
        try:
            return cls.from_dict(values)
        except RnnicError as error:
            raise RnnicError(f"{path}: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all; an older one is replaced."""
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        with atomic_output(path, overwrite=True) as file:
            file.write(text.encode() + b"\n")

    def to_csv(self) -> str:
        """Return all points as CSV, a line each, images by name."""
        names = [f.name for f in fields(Point)]
        text = io.StringIO()
        writer = csv.DictWriter(text, ["name", *names], lineterminator="\n")
        writer.writeheader()
        for key in sorted(self.points):
            point = self.points[key]
            writer.writerow({"name": self.images[point.image].name} | asdict(point))
        return text.getvalue()


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.fmean(known) if values and len(known) == len(values) else None


def merge(parts: Iterable[Results]) -> Results:
    """Return one result of several; where two have the same point, the later part's counts.

    Raises
    ------
    RnnicError
        If they are of different modes, or codecs of different versions.
    """
    whole: Results | None = None
    for part in parts:
        if whole is None:
            whole = Results(part.mode)
        if part.mode != whole.mode:
            raise RnnicError(f"a {whole.mode} and a {part.mode} result cannot be merged")
        for name, codec in part.codecs.items():
            before = whole.codecs.setdefault(name, codec)
            if before.version != codec.version:
                raise RnnicError(
                    f"{name} is of version {before.version} in one result and {codec.version} in"
                    " another; measure it anew in one of them"
                )
        whole.images |= part.images
        whole.machines |= part.machines
        whole.skipped |= part.skipped
        whole.points |= part.points
    if whole is None:
        raise RnnicError("there is nothing to merge")
    return whole
