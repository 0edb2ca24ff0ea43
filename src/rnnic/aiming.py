"""Where the search for a target begins: cheap encodes of a sample of the image.

The PSNR and the size of a sample follow the step size as those of the whole image do, and low efforts
follow the others; so encodes at the least effort of a sample, and then one without a trellis of the whole
image, tell what the image will have at the effort asked for. What a trellis adds is taken from usual photos.
What was fitted to the whole image serves the encodes that follow.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from rnnic.methods import Photos, Touch
from rnnic.metrics import psnr

__all__ = [
    "LEAST_EFFORT",
    "Aim",
    "Goal",
    "Made",
    "PsnrGoal",
    "SizeGoal",
    "aim_at",
    "refine",
    "sample_of",
]

Pixels = npt.NDArray[Any]  # uint8 or uint16

_BLOCK = 56
_CELL = 128
_MAX_CELLS = 256
_MIN_CELLS = 12
LEAST_EFFORT = 1
_NO_TRELLIS = 2
"""The greatest effort without a trellis."""
_COARSE_TRIALS = 6
_FARTHEST = math.log(4.0)
_PROBE_BIAS = 0.2
_STRONGER = 1.4
"""The trellis search makes so much more of a changed weight than the greedy one (training crops)."""
_MILD_BIAS, _STRONG_BIAS = 0.2, 0.8
_LEAST_RESPONSE = 0.1
"""Even a part without residuals, which a probe does not move, may get some with less weight of bits."""
_TRUST = 0.15
_MAX_TOUCHES = 8
_USUAL_EFFORT, _DB_PER_EFFORT = 5, 0.03
_SAVED = 0.02
"""What efforts with a trellis add to the PSNR, and the share of bytes they save (training crops)."""


class Made(Protocol):
    """What is asked of an encoded image."""

    @property
    def data(self) -> bytes:
        """The file."""

    @property
    def reconstruction(self) -> Pixels:
        """The pixels of a decoder."""

    @property
    def touch(self) -> Touch | None:
        """What codes parts anew, where it is known."""

    def touched(self, part: int, bias: float) -> Self:
        """Code a part anew."""


Result = TypeVar("Result", bound=Made)


class Goal(ABC):
    """What a target asks of a file; the excess is how far a file goes beyond it."""

    target: float
    tolerance: float
    slope: ClassVar[float]
    """Usual change of the excess with the logarithm of the step."""
    response: ClassVar[float]
    """Usual change of the excess with the bias of all parts, see `rnnic.methods.Touch`."""
    near: ClassVar[float]
    """An excess of a sample that tells enough about 0."""
    finer_is_more: ClassVar[bool]
    lean: ClassVar[float]
    """An excess that the first encode of a search aims at: parts bring down what is beyond with less work."""
    settled: ClassVar[float]
    """Beyond this excess, a coarser control must save more than a little."""
    refinable: ClassVar[float]
    """Within this excess, another weight of bits in some parts takes at most some 0.4 % more bytes."""

    @abstractmethod
    def measure(self, made: Made, pixels: Pixels) -> float:
        """Return what the target is about, of an encoded image."""

    @abstractmethod
    def name(self, value: float) -> str:
        """Return a value that `measure` gave, for users."""

    @abstractmethod
    def excess(self, made: Made, pixels: Pixels, share: float = 1.0) -> float:
        """Return how far a file goes beyond the target; of a sample that is a share of the image."""

    def sampled(self, control: float) -> float:
        """Return the usual excess of an image beyond that of its sample (training crops)."""
        del control
        return 0.0

    @abstractmethod
    def gain(self, control: float, effort: int, channels: int, photos: Photos) -> float:
        """Return the usual excess at an effort with a trellis beyond that without."""

    @abstractmethod
    def guess(self, pixels: Pixels, photos: Photos) -> float:
        """Return the control at which photos meet the target."""

    @property
    def middle(self) -> float:
        """The excess to aim at."""
        return self.tolerance / 2


@dataclass(frozen=True)
class PsnrGoal(Goal):
    """At least so many dB; the excess is in dB."""

    target: float
    tolerance: float = 0.02
    slope = -6.0
    response = -0.4
    near = 0.4
    lean = 0.04
    finer_is_more = True
    settled = 0.5
    refinable = 0.15

    def measure(self, made: Made, pixels: Pixels) -> float:
        """Return the PSNR in dB."""
        return psnr(made.reconstruction.reshape(pixels.shape), pixels)

    def name(self, value: float) -> str:
        """Return decibels."""
        return f"{value:.2f} dB" if math.isfinite(value) else "no loss"

    def excess(self, made: Made, pixels: Pixels, share: float = 1.0) -> float:
        """Return the dB above the target."""
        del share
        return self.measure(made, pixels) - self.target

    def sampled(self, control: float) -> float:
        """Return how much more PSNR images have than their samples, whose blocks have more borders."""
        return 0.05 + 0.2 * math.log(max(control / 4, 1.0))

    def gain(self, control: float, effort: int, channels: int, photos: Photos) -> float:
        """Return dB; higher efforts find a little more."""
        gains = photos.grey_gains if channels < 3 else photos.gains
        usual = np.interp(math.log(control), np.log(photos.controls), gains)
        return float(usual) + _DB_PER_EFFORT * (effort - _USUAL_EFFORT)

    def guess(self, pixels: Pixels, photos: Photos) -> float:
        """Return the control of a usual photo at this PSNR."""
        del pixels
        logs = np.log(photos.controls[::-1])
        return math.exp(float(np.interp(self.target, photos.psnr[::-1], logs)))


@dataclass(frozen=True)
class SizeGoal(Goal):
    """At most so many bytes; the excess is the logarithm of how many times the file would fit."""

    target: float
    tolerance: float = -math.log(0.985)
    slope = 0.7
    response = 0.07
    near = 0.08
    lean = -math.log(0.985) / 2
    finer_is_more = False
    settled = math.inf
    refinable = 0.02

    def measure(self, made: Made, pixels: Pixels) -> float:
        """Return the number of bytes."""
        del pixels
        return len(made.data)

    def name(self, value: float) -> str:
        """Return bytes."""
        return f"{value:.0f} bytes"

    def excess(self, made: Made, pixels: Pixels, share: float = 1.0) -> float:
        """Return the logarithm of target / bytes."""
        return math.log(self.target * share / self.measure(made, pixels))

    def gain(self, control: float, effort: int, channels: int, photos: Photos) -> float:
        """Return the logarithm of how many times the bytes would fit."""
        del control, effort, channels, photos
        return _SAVED

    def guess(self, pixels: Pixels, photos: Photos) -> float:
        """Return the control of a usual photo at so many bits per pixel."""
        bits = math.log(8 * self.target / (pixels.shape[0] * pixels.shape[1]))
        logs = np.log(photos.controls[::-1])
        return math.exp(float(np.interp(bits, np.log(photos.bits[::-1]), logs)))


@dataclass(frozen=True)
class Aim:
    """A first control, and how the excess is expected to change.

    Parameters
    ----------
    first : float
        The control.
    slope : float
        Change of the excess with the logarithm of the control.
    probe : callable
        Gives the change with the bias of each part, see `rnnic.methods.Touch`.
    size : float
        About the bytes of a file near the target, at the least effort.
    """

    first: float
    slope: float
    probe: Callable[[], list[float]]
    size: float


def sample_of(pixels: Pixels) -> Pixels:
    """Return blocks from all over an image, side by side; a small image is its own sample."""
    height, width = pixels.shape[:2]
    cell = max(_CELL, math.ceil(math.sqrt(height * width / _MAX_CELLS)))
    down, across = height // cell, width // cell
    if down * across < _MIN_CELLS:
        return pixels
    out = np.empty((down * _BLOCK, across * _BLOCK, pixels.shape[2]), pixels.dtype)
    for row in range(down):
        for column in range(across):
            # The middle of a cell, at even coordinates.
            y = ((2 * row + 1) * height // (2 * down) - _BLOCK // 2) & ~1
            x = ((2 * column + 1) * width // (2 * across) - _BLOCK // 2) & ~1
            at = np.s_[row * _BLOCK : (row + 1) * _BLOCK, column * _BLOCK : (column + 1) * _BLOCK]
            out[at] = pixels[y : y + _BLOCK, x : x + _BLOCK]
    return out


def aim_at(
    goal: Goal,
    pixels: Pixels,
    effort: int,
    span: tuple[float, float],
    encode: Callable[[Pixels, float, int], Made],
    photos: Photos,
) -> Aim:
    """Find the control to begin with.

    Parameters
    ----------
    goal : Goal
    pixels : uint8 or uint16 (H, W, c)
    effort : int
        The effort of the encodes that follow.
    span : tuple of float
        Least and greatest control.
    encode : callable
        Encodes pixels at a control and an effort; what it keeps at 2 serves higher efforts.
    photos : Photos
        What usual photos have.
    """
    sample = sample_of(pixels)

    def moved(control: float, excess: float, slope: float) -> float:
        way = (goal.lean - excess) / slope
        step = min(max(way, -_FARTHEST), _FARTHEST)
        return min(max(control * math.exp(step), span[0]), span[1])

    slope, excess = goal.slope, math.nan
    at = min(max(goal.guess(pixels, photos), span[0]), span[1])

    def approach(of: Pixels, lighter: int, gain: Callable[[float], float]) -> Made:
        """Encode until the target is near, were the excess greater by `gain`."""
        nonlocal slope, at, excess
        part = of.size / pixels.size
        made = encode(of, at, lighter)
        excess = goal.excess(made, of, part) + gain(at)
        for _ in range(_COARSE_TRIALS):
            following = moved(at, excess, slope)
            if abs(excess) <= goal.near or following == at:
                break
            made = encode(of, following, lighter)
            found = goal.excess(made, of, part) + gain(following)
            if math.isfinite(excess) and math.isfinite(found):
                seen = (found - excess) / math.log(following / at)
                # Steeper or flatter than this is noise, or no photo.
                slope = min(max(seen / goal.slope, 0.4), 4.0) * goal.slope
            at, excess = following, found
        return made

    def sampled(control: float) -> float:
        return goal.sampled(control) if sample is not pixels else 0.0

    def gain(control: float) -> float:
        return goal.gain(control, effort, pixels.shape[2], photos)

    trellis = effort > _NO_TRELLIS
    of, made = sample, approach(sample, LEAST_EFFORT, sampled)
    if trellis:
        if not math.isnan(excess):
            at = moved(at, excess + gain(at), slope)
        of, made = pixels, approach(pixels, _NO_TRELLIS, gain)
    first = at if math.isnan(excess) else moved(at, excess, slope)
    share = of.size / pixels.size
    size = len(made.data) / share
    if not trellis:
        return Aim(first, slope, cache(partial(_usual, goal, made)), size)
    return Aim(first, slope, cache(partial(_probed, goal, made, of, share)), size)


def _usual(goal: Goal, made: Made, factor: float = 1.0) -> list[float]:
    """Return about how much the excess changes with the bias of each part."""
    touch = made.touch
    if touch is None:
        return []
    return [factor * goal.response * touch.strength / touch.parts] * touch.parts


def _probed(goal: Goal, made: Made, pixels: Pixels, share: float) -> list[float]:
    """Return how much the excess changes with the bias of each part; quick ones are tried."""
    found = []
    excess = goal.excess(made, pixels, share)
    touch = made.touch
    if touch is None or touch.costly or not math.isfinite(excess):
        return _usual(goal, made, _STRONGER)
    for part in range(touch.parts):
        made = made.touched(part, _PROBE_BIAS)
        after = goal.excess(made, pixels, share)
        change = (after - excess) / _PROBE_BIAS / goal.response
        found.append(_STRONGER * min(max(change, _LEAST_RESPONSE), 2.0) * goal.response)
        excess = after
    return found


def refine(goal: Goal, aim: Aim, made: Result, pixels: Pixels, excess: float) -> Result:
    """Bring an encoded image nearer to its goal by coding parts of it with another weight of bits.

    What is returned is the nearest found that meets the goal, or else the one given.
    """
    if made.touch is None or not math.isfinite(excess):
        return made
    best, least = made, excess if excess >= 0 else math.inf
    responses = aim.probe()
    parts = range(made.touch.parts)
    biases = [0.0 for _ in parts]
    now, expected, seen = made, 0.0, 0.0
    trust = _TRUST * sum(map(abs, responses))
    # Biases of the latest part, and what they gave, below and above the middle.
    latest, below, above = -1, None, None
    for _ in range(_MAX_TOUCHES):
        missing = goal.middle - excess
        if below is not None and above is not None:
            part = latest
            share = min(max((goal.middle - below[1]) / (above[1] - below[1]), 0.15), 0.85)
            bias = below[0] + share * (above[0] - below[0])
        else:
            # What parts before did tells of the next; at first the probes are believed.
            scale = (
                min(max((trust + seen) / (trust + expected), _LEAST_RESPONSE), 4.0)
                if trust
                else 1.0
            )
            part, bias = _next_touch(missing / scale, responses, biases)
        if part < 0:
            break
        if part != latest:
            latest, below, above = part, None, None
            if missing > 0:
                below = biases[part], excess
            else:
                above = biases[part], excess
        now = now.touched(part, bias)
        after = goal.excess(now, pixels)
        change = (bias - biases[part]) * responses[part]
        expected += abs(change)
        seen += (after - excess) * math.copysign(1, change)
        excess, biases[part] = after, bias
        if 0 <= excess < least:
            best, least = now, excess
        if 0 <= excess <= goal.tolerance:
            break
        if excess < goal.middle:
            below = bias, excess
        else:
            above = bias, excess
    return best


def _next_touch(
    missing: float, responses: Sequence[float], biases: Sequence[float]
) -> tuple[int, float]:
    """Return the part to code next and its new bias; part -1 where all together cannot do it.

    As few parts as can do it with mild biases share the work equally.
    """
    for limit in (_MILD_BIAS, _STRONG_BIAS):
        ways = [
            math.copysign(limit, missing * r) - b for r, b in zip(responses, biases, strict=True)
        ]
        reach = [way * r for way, r in zip(ways, responses, strict=True)]
        useful = [k for k in range(len(reach)) if reach[k] * missing > 0]
        useful.sort(key=lambda k: -abs(reach[k]))
        total = 0.0
        for k in useful:
            total += reach[k]
            if abs(total) >= abs(missing):
                first = useful[0]
                return first, biases[first] + ways[first] * missing / total
    return -1, 0.0
