"""What a caller may ask of the encoder."""

import math
import os
from dataclasses import dataclass
from typing import Any

from rnnic.container import MAX_TILE_SIZE, MIN_TILE_SIZE
from rnnic.errors import OptionError
from rnnic.model import Model
from rnnic.parallel import thread_count

__all__ = ["DEFAULT_QUALITY", "EncodeOptions"]

DEFAULT_QUALITY = 90.0
MAX_ERROR_THRESHOLD = 442.0
"""Beyond the distance of black and white, 441.67: everything is allowed."""


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """Options of :func:`rnnic.encode`; at most one of the five that set the quality.

    Parameters
    ----------
    method : str, optional
        Name of the method; the default is ``"pyramid"``, or ``"raster"`` where an error threshold is given,
        which only that takes.
    quality : float, optional
        0 … 100; the default is 90 where nothing else sets the quality. Method raster maps it to an error
        threshold of ``0.4 * (100 - quality)``, so 100 is lossless; method pyramid to a step of
        ``0.75 + 60 * (1 - quality / 100) ** 1.25``, for 16 bits with 1/64 in place of 0.75.
    error_threshold : float, optional
        No pixel is further from the original than this Euclidean distance, in 8-bit RGB units (257 for
        samples of 16 bits); 0 … 442, 0 is lossless. Alpha and hidden colours do not count.
    target_psnr : float, optional
        Decibels; the smallest file found that has at least this PSNR. Method pyramid gets within 0.02 dB.
    target_bytes : int, optional
        The best file found that has at most so many bytes. Method pyramid uses 98.5 % of them.
    neighbors : str or class, optional
        Nearest-neighbour search; see :func:`rnnic.search.make_search`.
    threads : int, optional
        Tiles coded at once; the default is the number of CPUs, at most 8.
    tile_size : int, optional
        Side of a tile in pixels, 16 … 4096; the default is the method's, and from effort 8 on what suits the
        image among 1024, 512 and 384.
    step : float, optional
        Method pyramid: size of its quantiser's steps in 8-bit samples, 0.25 … 512; from 1/64 on for
        16 bits.
    effort : int
        Method pyramid: 1 (fastest) … 9 (smallest files).
    exact_tiles : bool
        Method pyramid: whether drawn tiles are coded without loss where that is worth its bytes.
    alpha_quality : float
        0 … 100: 100 keeps alpha as it is; below, it has fewer levels, 16 at 70 and 2 at 0.
    keep_hidden : bool
        Whether colours under alpha 0, which nobody sees, are coded too; otherwise something that needs
        few bytes takes their place.
    model : Model or path, optional
        The default is the one that comes with the package.

    Raises
    ------
    OptionError
        If a value is out of its range or two of them contradict each other.
    """

    method: str | None = None
    quality: float | None = None
    error_threshold: float | None = None
    target_psnr: float | None = None
    target_bytes: int | None = None
    neighbors: Any = "exact"
    threads: int | None = None
    tile_size: int | None = None
    step: float | None = None
    effort: int = 5
    exact_tiles: bool = True
    alpha_quality: float = 100.0
    keep_hidden: bool = False
    model: Model | str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        goals = {
            name: getattr(self, name)
            for name in ("quality", "step", "error_threshold", "target_psnr", "target_bytes")
            if getattr(self, name) is not None
        }
        if len(goals) > 1:
            raise OptionError(f"{' and '.join(goals)} contradict each other; give only one")
        _check_range("quality", self.quality, 0, 100)
        _check_range("error_threshold", self.error_threshold, 0, MAX_ERROR_THRESHOLD)
        _check_range("target_psnr", self.target_psnr, 0, 1000)
        _check_range("step", self.step, 1 / 64, 512)
        _check_range("alpha_quality", self.alpha_quality, 0, 100)
        if self.effort not in range(1, 10):
            raise OptionError(f"effort is {self.effort}; it must be 1 … 9")
        if self.target_bytes is not None and self.target_bytes < 1:
            raise OptionError(f"target_bytes is {self.target_bytes}; it must be at least 1")
        if self.tile_size is not None and not MIN_TILE_SIZE <= self.tile_size <= MAX_TILE_SIZE:
            raise OptionError(
                f"tile_size is {self.tile_size}; it must be {MIN_TILE_SIZE} … {MAX_TILE_SIZE}"
            )
        thread_count(self.threads)

    @property
    def has_target(self) -> bool:
        """Whether a PSNR or a size is to be met."""
        return self.target_psnr is not None or self.target_bytes is not None

    @property
    def chosen_method(self) -> str:
        """Name of the method that the options ask for."""
        if self.method is not None:
            return self.method
        return "pyramid" if self.error_threshold is None else "raster"


def _check_range(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise OptionError(f"{name} is {value}; it must be a number from {low} to {high}")
