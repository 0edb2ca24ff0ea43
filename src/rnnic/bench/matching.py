"""A codec's smallest file of at least a given PSNR, searched over the codec's own control."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnnic.bench.codecs import Codec
from rnnic.metrics import psnr

__all__ = ["Match", "smallest_file"]

Pixels = npt.NDArray[np.uint8]

_TOLERANCE = 0.003
"""dB above the goal that end a search: 0.05 % of the bytes, at 6 dB a bit and sample."""
_MAX_TRIALS = 18
_NEIGHBOURS = 2


@dataclass(frozen=True, eq=False)
class Match:
    """The file found; the best one there is where the goal is out of the codec's reach."""

    setting: float
    data: bytes
    psnr: float
    reached: bool


class _Search:
    """Trials of one codec on one image, and the bracket they make."""

    def __init__(self, codec: Codec, pixels: Pixels, goal: float) -> None:
        self.codec, self.pixels, self.goal = codec, pixels, goal
        self.excess: dict[float, float] = {}
        self.best: Match | None = None
        self.nearest: Match | None = None

    def meets(self, setting: float) -> bool:
        """Try a setting; return whether it meets the goal."""
        if setting not in self.excess:
            data = self.codec.encode(self.pixels, setting)
            copy = self.codec.decode(data, grey=self.pixels.ndim == 2)
            reached = psnr(self.pixels, copy)
            trial = Match(setting, data, reached, reached >= self.goal)
            # Infinity less infinity is no number: a lossless copy of a lossless goal is just right.
            self.excess[setting] = 0.0 if reached == self.goal else reached - self.goal
            if trial.reached and (self.best is None or len(data) < len(self.best.data)):
                self.best = trial
            if self.nearest is None or reached > self.nearest.psnr:
                self.nearest = trial
        return self.excess[setting] >= 0

    def result(self) -> Match:
        assert self.nearest is not None
        return self.best or self.nearest


def smallest_file(codec: Codec, pixels: Pixels, goal: float) -> Match:
    """Return the smallest file found whose PSNR is at least `goal`.

    PSNR is taken as nearly monotone in the control. The codec's ladder is searched by halving; then a
    secant, or halving where the control takes whole numbers only, narrows the bracket.

    Parameters
    ----------
    codec : Codec
    pixels : uint8 (H, W) or (H, W, 3)
    goal : float
        dB; infinity asks for an equal copy.
    """
    search = _Search(codec, pixels, goal)
    control = codec.control
    rungs = list(dict.fromkeys([control.coarsest, *codec.ladder, control.finest]))
    low, high = 0, len(rungs) - 1  # indices of the coarsest that may fail, the finest that may meet
    while high - low > 1:
        middle = (low + high) // 2
        if search.meets(rungs[middle]):
            high = middle
        else:
            low = middle
    if not search.meets(rungs[high]) or search.meets(rungs[low]):
        return search.result()
    narrow = _narrow_integers if control.integer else _narrow
    narrow(search, rungs[low], rungs[high])
    return search.result()


def _narrow_integers(search: _Search, bad: float, good: float) -> None:
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        if search.meets(middle):
            good = middle
        else:
            bad = middle
    # A few coarser settings, for stairs need not be monotone.
    towards = 1 if search.codec.control.coarsest > search.codec.control.finest else -1
    ends = sorted((search.codec.control.coarsest, search.codec.control.finest))
    for step in range(1, _NEIGHBOURS + 1):
        setting = bad + towards * step
        if ends[0] <= setting <= ends[1]:
            search.meets(setting)


def _narrow(search: _Search, bad: float, good: float) -> None:
    there, back = (math.log, math.exp) if search.codec.control.logarithmic else (float, float)
    width = abs(there(good) - there(bad))
    previous = width
    while len(search.excess) < _MAX_TRIALS and not search.excess[good] <= _TOLERANCE:
        above, below = search.excess[good], search.excess[bad]
        share = 0.5
        # A secant towards the middle of the tolerance, halving when it does not halve the bracket.
        if math.isfinite(above) and not (width > previous / 2 and len(search.excess) % 2):
            share = (above - _TOLERANCE / 2) / (above - below)
        share = min(max(share, 0.02), 0.98)
        setting = back(there(good) + share * (there(bad) - there(good)))
        if setting in (good, bad):
            return
        if search.meets(setting):
            good = setting
        else:
            bad = setting
        previous, width = width, abs(there(good) - there(bad))
        if width < 1e-6 * max(1.0, abs(there(good))):
            return
