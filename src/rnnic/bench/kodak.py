"""The published claims, checked on the Kodak images."""

import hashlib
import http.client
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rnnic._jit import cache_folder
from rnnic.api import decode, encode, info
from rnnic.bench.codecs import Codec, available
from rnnic.bench.jpeg import encode_jpeg, require_opencv
from rnnic.bench.kodak_sums import SUMS
from rnnic.bench.matching import smallest_file
from rnnic.errors import RnnicError
from rnnic.files import load_image
from rnnic.metrics import psnr
from rnnic.output import atomic_output

__all__ = [
    "HEADING",
    "PeerRow",
    "Result",
    "Row",
    "compare",
    "compare_peers",
    "download",
    "image_paths",
    "peers",
    "peers_table",
    "require_opencv",
]

Progress = Callable[[float, str], None]

ADDRESS = "https://r0k.us/graphics/kodak/kodak/"
CLAIMED_SAVING = 0.2
_TIMEOUT = 30
_MAX_FILE_BYTES = 2**21
HEADING = (
    f"{'image':<12} {'JPEG bytes':>10} {'dB':>6} {'RNNIC bytes':>11} {'dB':>6}"
    f" {'ratio':>6} {'threshold':>9} {'seconds':>7}"
)


@dataclass(frozen=True)
class Row:
    """One image: sizes in bytes, PSNR in dB."""

    image: str
    jpeg_bytes: int
    jpeg_psnr: float
    rnnic_bytes: int
    rnnic_psnr: float
    threshold: float | None
    seconds: float

    @property
    def ratio(self) -> float:
        """Bytes of RNNIC over those of JPEG."""
        return self.rnnic_bytes / self.jpeg_bytes

    def line(self) -> str:
        """Return the row as a line of the table under `HEADING`."""
        threshold = "" if self.threshold is None else f"{self.threshold:.3f}"
        return (
            f"{self.image:<12} {self.jpeg_bytes:>10} {self.jpeg_psnr:>6.2f}"
            f" {self.rnnic_bytes:>11} {self.rnnic_psnr:>6.2f} {self.ratio:>6.3f}"
            f" {threshold:>9} {self.seconds:>7.1f}"
        )


@dataclass(frozen=True)
class Result:
    """All images, and what the publication claims of them."""

    rows: Sequence[Row]

    @property
    def ratio(self) -> float:
        """Bytes of RNNIC over those of JPEG, all images together."""
        return sum(r.rnnic_bytes for r in self.rows) / sum(r.jpeg_bytes for r in self.rows)

    @property
    def not_worse(self) -> bool:
        """Whether every image has at least the PSNR of its JPEG."""
        return all(row.rnnic_psnr >= row.jpeg_psnr for row in self.rows)

    @property
    def each_smaller(self) -> bool:
        """Whether every image is smaller than its JPEG."""
        return all(row.rnnic_bytes < row.jpeg_bytes for row in self.rows)

    @property
    def total_smaller(self) -> bool:
        """Whether the images together are more than 20 % smaller than their JPEGs."""
        return self.ratio < 1 - CLAIMED_SAVING

    @property
    def claims_hold(self) -> bool:
        """Whether both claims hold, at no less than the PSNR of JPEG."""
        return self.not_worse and self.each_smaller and self.total_smaller

    def lines(self) -> list[str]:
        """Return totals and verdicts as text."""
        jpeg, own = (sum(getattr(r, k) for r in self.rows) for k in ("jpeg_bytes", "rnnic_bytes"))
        count = len(self.rows)
        means = [sum(getattr(r, k) for r in self.rows) / count for k in ("jpeg_psnr", "rnnic_psnr")]
        smaller = sum(row.rnnic_bytes < row.jpeg_bytes for row in self.rows)

        def verdict(holds: bool) -> str:
            return "holds" if holds else "DOES NOT HOLD"

        total = (
            f"{'total, mean':<12} {jpeg:>10} {means[0]:>6.2f} {own:>11} {means[1]:>6.2f}"
            f" {self.ratio:>6.3f}"
        )
        each = f"every image smaller than its JPEG: {smaller} of {count} are"
        all_of_them = (
            f"all together more than 20 % smaller: {100 * (1 - self.ratio):.1f} % are saved"
        )
        lines = [
            total,
            "",
            f"{each}: {verdict(self.each_smaller)}",
            f"{all_of_them}: {verdict(self.total_smaller)}",
        ]
        if not self.not_worse:
            lines.append("not every image reaches the PSNR of its JPEG")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "images": [asdict(row) | {"ratio": row.ratio} for row in self.rows],
            "jpeg_bytes": sum(row.jpeg_bytes for row in self.rows),
            "rnnic_bytes": sum(row.rnnic_bytes for row in self.rows),
            "ratio": self.ratio,
            "each_smaller": self.each_smaller,
            "total_smaller": self.total_smaller,
            "psnr_not_below_jpeg": self.not_worse,
            "claims_hold": self.claims_hold,
        }


def download(limit: int | None = None, progress: Progress | None = None) -> Path:
    """Fetch the images that are not in the cache folder yet; return that folder.

    Raises
    ------
    RnnicError
        If an image cannot be fetched or is not the one expected.
    """
    folder = cache_folder() / "kodak"
    folder.mkdir(parents=True, exist_ok=True)
    names = list(SUMS)[:limit]
    for index, name in enumerate(names):
        if progress is not None:
            progress(index / len(names), f"fetching {name}")
        target = folder / name
        if target.is_file() and _sum(target.read_bytes()) == SUMS[name]:
            continue
        data = _fetch(ADDRESS + name)
        if _sum(data) != SUMS[name]:
            raise RnnicError(
                f"{ADDRESS}{name}: not the expected file, its SHA-256 differs;"
                " get the images elsewhere and pass their folder with --folder"
            )
        with atomic_output(target, overwrite=True) as file:
            file.write(data)
    return folder


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _fetch(address: str) -> bytes:
    request = urllib.request.Request(address, headers={"User-Agent": "rnnic"})  # noqa: S310  https, fixed
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310  the same
            data: bytes = response.read(_MAX_FILE_BYTES)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise RnnicError(
            f"{address}: cannot be fetched ({reason}); go online, or get the Kodak images elsewhere"
            " and pass their folder with --folder"
        ) from error
    return data


def image_paths(folder: Path, limit: int | None = None) -> list[Path]:
    """Return the Kodak images of a folder.

    Raises
    ------
    RnnicError
        If one is missing.
    """
    paths = [folder / name for name in list(SUMS)[:limit]]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise RnnicError(f"{folder}: {missing[0]} is not there; {len(missing)} images are missing")
    return paths


def compare(
    path: Path,
    method: str | None = None,
    threads: int | None = None,
    model: str | os.PathLike[str] | None = None,
    effort: int = 5,
) -> Row:
    """Compress an image to at least the PSNR of its JPEG at quality 100."""
    pixels = load_image(path).pixels
    jpeg = encode_jpeg(pixels)
    # A JPEG without any loss, as of a plain image, asks for lossless.
    lossless = math.isinf(jpeg.psnr)
    goal: dict[str, Any] = {"target_psnr": jpeg.psnr, "method": method, "effort": effort}
    if lossless:
        goal = {"error_threshold": 0.0}
    started = time.perf_counter()
    data = encode(pixels, threads=threads, model=model, **goal)
    seconds = time.perf_counter() - started
    decoded = decode(data, threads=threads, model=model)
    return Row(
        image=path.name,
        jpeg_bytes=jpeg.size,
        jpeg_psnr=jpeg.psnr,
        rnnic_bytes=len(data),
        rnnic_psnr=psnr(pixels, decoded),
        threshold=info(data).parameters.get("error_threshold"),
        seconds=seconds,
    )


@dataclass(frozen=True)
class PeerRow:
    """One image by another codec: its smallest file of at least the PSNR of the JPEG.

    `bytes` is None where the codec does not reach that PSNR; `psnr` is the most it reaches then.
    """

    image: str
    codec: str
    version: str
    bytes: int | None
    psnr: float


def peers(names: Sequence[str] = ()) -> list[Codec]:
    """Return the codecs beside JPEG and the method asked for: those named, or all that are installed.

    Raises
    ------
    OptionError, MissingDependencyError
        If one that is named is not known or not installed.
    """
    return [codec for codec in available(names) if names or not codec.own]


def compare_peers(path: Path, codecs: Sequence[Codec], goal: float) -> list[PeerRow]:
    """Find each codec's smallest file of an image with at least a PSNR, in dB."""
    pixels = load_image(path).pixels
    found = []
    for codec in codecs:
        match = smallest_file(codec, pixels, goal)
        size = len(match.data) if match.reached else None
        found.append(PeerRow(path.name, codec.name, codec.version(), size, match.psnr))
    return found


def peers_table(rows: Sequence[PeerRow], jpeg: Sequence[Row]) -> list[str]:
    """Return each codec's bytes over those of JPEG, the smallest first, as lines of text."""
    jpeg_bytes = {row.image: row.jpeg_bytes for row in jpeg}
    lines = []
    for name in dict.fromkeys(row.codec for row in rows):
        own = [row for row in rows if row.codec == name]
        sizes = {row.image: row.bytes for row in own if row.bytes is not None}
        ratio = math.inf
        if sizes:
            ratio = sum(sizes.values()) / sum(jpeg_bytes[image] for image in sizes)
        short = [row for row in own if row.bytes is None]
        note = f", out of reach on {len(short)} (the best {short[0].psnr:.2f} dB)" if short else ""
        shown = f"{ratio:.3f}" if sizes else "-"
        lines.append(
            (ratio, f"{name:<12} {shown:>6}   {len(sizes)} images, {own[0].version}{note}")
        )
    heading = "other codecs at no less than the PSNR of JPEG: bytes over those of JPEG"
    return [heading, *(line for _, line in sorted(lines))]
