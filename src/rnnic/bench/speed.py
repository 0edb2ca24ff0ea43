"""Speed of one thread beside OpenJPEG's, and how time and memory grow with the image."""

import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.api import decode, encode, info
from rnnic.bench.process import run_task
from rnnic.errors import RnnicError
from rnnic.extras import require
from rnnic.files import load_image
from rnnic.metrics import psnr

__all__ = ["Growth", "Speed", "measure_growth", "measure_speed", "table"]

Pixels = npt.NDArray[np.uint8]

_GROWTH_PIXELS = (400_000, 24_000_000)
_LEVEL_STEPS = 12
_GROWTH_ROUNDS = 3


@dataclass(frozen=True)
class Speed:
    """One image: megapixels per second (medians), sizes in bytes, PSNR in dB."""

    image: str
    psnr: float
    bytes: int
    encode: float
    decode: float
    openjpeg_psnr: float
    openjpeg_bytes: int
    openjpeg_encode: float
    openjpeg_decode: float


@dataclass(frozen=True)
class Growth:
    """One size of image: nanoseconds a pixel, and the process's peak memory in MB."""

    megapixels: float
    encode_ns: float
    decode_ns: float
    encode_peak_mb: float
    decode_peak_mb: float


def _imagecodecs() -> Any:
    return require("imagecodecs", "imagecodecs, whose OpenJPEG is compared with,")


def _openjpeg(pixels: Pixels, goal: float) -> tuple[Callable[[], bytes], Callable[[bytes], Pixels]]:
    """Return functions that encode with the 9/7 wavelet at the PSNR, and decode."""
    codecs = _imagecodecs()

    def encoder(level: float) -> Callable[[], bytes]:
        return lambda: codecs.jpeg2k_encode(
            pixels, level=level, reversible=False, mct=pixels.ndim == 3, numthreads=1
        )

    def decoder(data: bytes) -> Pixels:
        decoded: Pixels = codecs.jpeg2k_decode(data, numthreads=1)
        return decoded

    # OpenJPEG's level is a PSNR of its own reckoning: find the one that gives ours.
    low, high = goal - 10, goal + 20
    for _ in range(_LEVEL_STEPS):
        middle = (low + high) / 2
        reached = psnr(pixels, decoder(encoder(middle)()))
        low, high = (low, middle) if reached >= goal else (middle, high)
    return encoder(high), decoder


def _timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure_speed(
    path: str, goal: float = 44.0, rounds: int = 5, method: str | None = None
) -> Speed:
    """Time both codecs in turn, so that both meet the same moods of the machine.

    Parameters
    ----------
    path : path
        An image.
    goal : float
        PSNR in dB; RNNIC is set to it, OpenJPEG to what RNNIC then reaches.
    rounds : int
        Times each is run; the median counts.
    method : str, optional
        RNNIC's method.

    Raises
    ------
    MissingDependencyError
        If imagecodecs is not installed.
    """
    pixels = load_image(path).pixels
    _imagecodecs()
    data = encode(pixels, target_psnr=goal, method=method, threads=1)
    reached = psnr(pixels, decode(data, threads=1))
    if math.isinf(reached):
        raise RnnicError(f"{path}: too plain to compare, it came out lossless")
    control = _settings(data)
    peer_encode, peer_decode = _openjpeg(pixels, reached)
    peer_data = peer_encode()
    jobs: list[Callable[[], Any]] = [
        lambda: encode(pixels, method=method, threads=1, **control),
        peer_encode,
        lambda: decode(data, threads=1),
        lambda: peer_decode(peer_data),
    ]
    times: list[list[float]] = [[] for _ in jobs]
    for job in jobs:
        job()
    for _ in range(rounds):
        for job, seconds in zip(jobs, times, strict=True):
            seconds.append(_timed(job))
    megapixels = pixels.shape[0] * pixels.shape[1] / 1e6
    own_encode, other_encode, own_decode, other_decode = (
        megapixels / statistics.median(seconds) for seconds in times
    )
    return Speed(
        image=Path(path).name,
        psnr=reached,
        bytes=len(data),
        encode=own_encode,
        decode=own_decode,
        openjpeg_psnr=psnr(pixels, peer_decode(peer_data)),
        openjpeg_bytes=len(peer_data),
        openjpeg_encode=other_encode,
        openjpeg_decode=other_decode,
    )


def _settings(data: bytes) -> dict[str, Any]:
    """Return the option that makes a file of this quality without a search."""
    found = info(data).parameters
    return {name: found[name] for name in ("error_threshold", "step") if name in found}


def _tiled(pixels: Pixels, count: int) -> Pixels:
    """Return an image of 4:3 and about `count` pixels, the given one repeated."""
    height = round(math.sqrt(count * 3 / 4))
    width = round(count / height)
    repeats = (-(-height // pixels.shape[0]), -(-width // pixels.shape[1]))
    return np.ascontiguousarray(np.tile(pixels, (*repeats, 1)[: pixels.ndim])[:height, :width])


def measure_growth(path: str, goal: float = 44.0, method: str | None = None) -> list[Growth]:
    """Time one thread on an image repeated up to 0.4 and to 24 megapixels.

    Each size is coded in processes of their own, whose peak memory is taken.

    Raises
    ------
    RnnicError
        If such a process fails.
    """
    pixels = load_image(path).pixels
    small = _tiled(pixels, _GROWTH_PIXELS[0])
    data = encode(small, target_psnr=goal, method=method, threads=1)
    settings = _settings(data) | ({"method": method} if method else {})
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "image.rnnic")
        return [_grown(path, count, file, settings) for count in _GROWTH_PIXELS]


def _grown(path: str, count: int, file: str, settings: dict[str, Any]) -> Growth:
    """Measure one size; the process that encodes leaves `file` to the one that decodes."""
    task = {"path": path, "count": count, "file": file, "settings": settings}
    encoded, decoded = (_in_process(task | {"what": what}) for what in ("encode", "decode"))
    pixels = encoded["pixels"]
    return Growth(
        megapixels=pixels / 1e6,
        encode_ns=1e9 * encoded["seconds"] / pixels,
        decode_ns=1e9 * decoded["seconds"] / pixels,
        encode_peak_mb=encoded["peak"] / 1e6,
        decode_peak_mb=decoded["peak"] / 1e6,
    )


def _in_process(task: dict[str, Any]) -> dict[str, float]:
    done = run_task("rnnic.bench.speed", task)
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise RnnicError(f"measuring {task['what']} of {task['count']} pixels failed: {last}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _run_task(task: dict[str, Any]) -> dict[str, float]:
    """Encode or decode in this process; return the pixels, the median seconds, the peak bytes."""
    file, settings = Path(task["file"]), task["settings"]
    if task["what"] == "encode":
        pixels = _tiled(load_image(task["path"]).pixels, task["count"])
        encode(pixels[:64, :64], threads=1, **settings)  # compiles, or loads what is compiled
        times = [
            _timed(lambda: encode(pixels, threads=1, **settings)) for _ in range(_GROWTH_ROUNDS)
        ]
        peak = _peak_bytes()
        file.write_bytes(encode(pixels, threads=1, **settings))
        shape = pixels.shape
    else:
        data = file.read_bytes()
        decode(data, threads=1, region=(0, 0, 1, 1))
        times = [_timed(lambda: decode(data, threads=1)) for _ in range(_GROWTH_ROUNDS)]
        peak = _peak_bytes()
        found = info(data)
        shape = (found.height, found.width)
    return {"pixels": shape[0] * shape[1], "seconds": statistics.median(times), "peak": peak}


def _peak_bytes() -> int:
    """Return the peak of this process's resident memory."""
    try:
        import resource
    except ImportError as error:
        raise RnnicError("peak memory can be measured on Unix only") from error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def table(rows: Sequence[Speed] | Sequence[Growth]) -> list[str]:
    """Return measurements as lines of text."""
    lines: list[str] = []
    speeds = [row for row in rows if isinstance(row, Speed)]
    growths = [row for row in rows if isinstance(row, Growth)]
    if speeds:
        lines.append("one thread, MP/s: RNNIC / OpenJPEG 9/7 = ratio, at the same PSNR")
        lines += [
            f"{s.image}: {s.psnr:.2f} dB {s.bytes} bytes / {s.openjpeg_psnr:.2f} dB"
            f" {s.openjpeg_bytes} bytes; encode {s.encode:.2f} / {s.openjpeg_encode:.2f}"
            f" = {s.encode / s.openjpeg_encode:.2f}; decode {s.decode:.2f} /"
            f" {s.openjpeg_decode:.2f} = {s.decode / s.openjpeg_decode:.2f}"
            for s in speeds
        ]
        encode_ratio, decode_ratio = (
            math.exp(statistics.fmean(math.log(value) for value in values))
            for values in (
                [s.encode / s.openjpeg_encode for s in speeds],
                [s.decode / s.openjpeg_decode for s in speeds],
            )
        )
        lines.append(f"geometric mean: encode x {encode_ratio:.2f}, decode x {decode_ratio:.2f}")
    if growths:
        lines.append("one thread, an image repeated")
        lines += [
            f"{g.megapixels:6.2f} MP: encode {g.encode_ns:.1f} ns a pixel, peak"
            f" {g.encode_peak_mb:.0f} MB; decode {g.decode_ns:.1f} ns a pixel, peak"
            f" {g.decode_peak_mb:.0f} MB"
            for g in growths
        ]
        small, large = growths[0], growths[-1]
        lines.append(
            f"time a pixel, largest over smallest: encode {large.encode_ns / small.encode_ns:.2f},"
            f" decode {large.decode_ns / small.decode_ns:.2f}"
        )
    return lines


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_run_task(json.load(sys.stdin))))
