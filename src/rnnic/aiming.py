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
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from rnnic.container import TileBox, window_of
from rnnic.methods import Photos, Touch
from rnnic.metrics import DB, psnr, squared_error
from rnnic.options import EncodeOptions
from rnnic.sampling import Sample
from rnnic.targets import Reach

__all__ = [
    "LEAST_EFFORT",
    "Aim",
    "Goal",
    "Made",
    "PsnrGoal",
    "Rough",
    "SizeGoal",
    "aim_at",
    "goal_of",
    "squared_error_of",
]

Pixels = npt.NDArray[Any]  # uint8 or uint16
Places = Sequence[TileBox]
LEAST_EFFORT = 1
_NO_TRELLIS = 2
"""The greatest effort without a trellis."""
_COARSE_TRIALS = 6
_FLAT_BITS = 0.125
_FARTHEST = math.log(4.0)
_STRONGER = 1.17
"""The trellis search makes so much more of a changed weight than the greedy one (training crops)."""
_RESPONSE_BY_GAIN = 1.5
"""Where a trellis adds many dB, in noisy images, it makes so many times as much of a changed weight (training
crops with noise)."""
_CURVE = 0.9
"""A PSNR falls with the weight of bits to this power (training crops, 0.2 to 2.2 times the usual)."""
_USUAL_EFFORT, _DB_PER_EFFORT = 5, 0.03
_SAVED, _TRUST_SAVED = 0.02, 0.8
"""What efforts with a trellis add to the PSNR, the share of bytes they save, and how much what they save in a
few blocks counts (training crops)."""
_TOLD_BITS = math.log(0.5), math.log(1.5)
_TOLD = (0.45, 0.85), (0.115, 0.065)
_GREY_MORE, _MORE_PER_EFFORT = 0.04, 0.015
_MUCH_TOLD, _TRUST_MUCH = 0.4, 1.05
"""How much what they add to a few blocks counts at two rates, and how many dB come to it; more without
colours, and with the effort; and how much what is beyond so many dB, in noisy images, counts. What they add
to the image is foreseen with a standard deviation of 0.04 dB so, 0.05 in noisy ones and 0.07 without
colours, where the usual is 0.15 off (training crops)."""


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

    @property
    def left(self) -> bool:
        """Whether there are parts that it has not coded yet."""

    def touched(self, part: int, bias: float) -> Self:
        """Code a part anew."""

    def widened(self) -> Self | None:
        """Return the same with a touch that codes more at once, where there is one."""


class Goal(ABC):
    """What a target asks of a file; the excess is how far a file goes beyond it."""

    target: float
    tolerance: float
    slope: ClassVar[float]
    """Usual change of the excess with the logarithm of the step."""
    response: ClassVar[float]
    """Usual change of the excess with the `pull` of all parts."""
    near: ClassVar[float]
    """An excess of a sample that tells enough about 0."""
    near_whole: ClassVar[float]
    """The same of the whole image without a trellis; beyond it, what was fitted is of little use, too."""
    finer_is_more: ClassVar[bool]
    lean: ClassVar[float]
    """An excess to aim at where parts do the rest: few bytes are lost so."""
    settled: ClassVar[float]
    """Beyond this excess, a coarser control must save more than a little."""
    refinable: ClassVar[Reach]
    """Within this, another weight of bits in some parts takes 0.3 % more bytes, or fewer (training crops)."""
    least_loss: ClassVar[Reach]
    """The same for the highest efforts, where bytes count more than time."""

    @abstractmethod
    def measure(self, made: Made, pixels: Pixels) -> float:
        """Return what the target is about, of an encoded image."""

    @abstractmethod
    def name(self, value: float) -> str:
        """Return a value that `measure` gave, for users."""

    @abstractmethod
    def excess(self, made: Made, pixels: Pixels) -> float:
        """Return how far a file goes beyond the target."""

    @abstractmethod
    def excess_by(self, made: Made, sample: Sample, control: float) -> float:
        """Return how far the image's file would go, from the sample's at a control."""

    def pull(self, bias: float) -> float:
        """Return how much a bias of parts, see `rnnic.methods.Touch`, does."""
        return bias

    def bias(self, pull: float) -> float:
        """Return the bias of a `pull`, -inf where none is strong enough."""
        return pull

    @abstractmethod
    def shares(self, made: Made, pixels: Pixels) -> list[float]:
        """Return what part of the response comes from each part of the image."""

    @abstractmethod
    def gain(self, control: float, effort: int, channels: int, photos: Photos) -> float:
        """Return the usual excess at an effort with a trellis beyond that without."""

    @abstractmethod
    def gain_told(self, told: float, bits: float, effort: int, channels: int) -> float:
        """Return the excess that an effort with a trellis adds to an image, which adds `told` to some of it.

        ``bits`` are those a pixel of the image without a trellis.
        """

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
    near_whole = 1.0
    lean = -0.03
    finer_is_more = True
    settled = 0.5
    refinable = Reach(0.17, 0.15)
    least_loss = Reach(0.07, 0.06)

    def measure(self, made: Made, pixels: Pixels) -> float:
        """Return the PSNR in dB."""
        return psnr(made.reconstruction.reshape(pixels.shape), pixels)

    def name(self, value: float) -> str:
        """Return decibels."""
        return f"{value:.2f} dB" if math.isfinite(value) else "no loss"

    def excess(self, made: Made, pixels: Pixels) -> float:
        """Return the dB above the target."""
        return self.measure(made, pixels) - self.target

    def excess_by(self, made: Made, sample: Sample, control: float) -> float:
        """Return the dB above the target."""
        rebuilt = made.reconstruction.reshape(sample.pixels.shape)
        inner = psnr(sample.inner(rebuilt), sample.inner(sample.pixels))
        return inner + sample.psnr_beyond(control) - self.target

    def pull(self, bias: float) -> float:
        """Return what fewer bits do; more of them do less."""
        return math.expm1(_CURVE * bias) / _CURVE

    def bias(self, pull: float) -> float:
        """Return the inverse of `pull`."""
        scaled = _CURVE * pull
        return math.log1p(scaled) / _CURVE if scaled > -1 else -math.inf

    def shares(self, made: Made, pixels: Pixels) -> list[float]:
        """Return the shares of the squared error."""
        assert made.touch is not None
        errors = [squared_error_of(made, pixels, own) for own in _places_of(made.touch)]
        total = sum(errors)
        return [error / total if total else 0.0 for error in errors]

    def budget(self, pixels: Pixels) -> float:
        """Return the squared error of an image in the middle of what is allowed."""
        count = squared_error(pixels, pixels)[1]
        peak = float(np.iinfo(pixels.dtype).max)
        return peak**2 * count * math.exp(-(self.target + self.middle) / DB)

    def gain(self, control: float, effort: int, channels: int, photos: Photos) -> float:
        """Return dB; higher efforts find a little more."""
        gains = photos.grey_gains if channels < 3 else photos.gains
        usual = float(np.interp(math.log(control), np.log(photos.controls), gains))
        return usual + _DB_PER_EFFORT * (effort - _USUAL_EFFORT)

    def gain_told(self, told: float, bits: float, effort: int, channels: int) -> float:
        """Return dB; a little more than is told, as blocks end where the image goes on."""
        trust, more = (float(np.interp(math.log(bits), _TOLD_BITS, two)) for two in _TOLD)
        more += _GREY_MORE if channels < 3 else 0.0
        much = max(told - _MUCH_TOLD, 0.0)
        more += _TRUST_MUCH * much
        return trust * (told - much) + more + _MORE_PER_EFFORT * (effort - _USUAL_EFFORT)

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
    response = 0.065
    near = 0.08
    near_whole = 0.15
    lean = -math.log(0.985) / 2
    finer_is_more = False
    settled = math.inf
    refinable = Reach(0.02, 0.02)
    least_loss = Reach(0.01, 0.01)

    def measure(self, made: Made, pixels: Pixels) -> float:
        """Return the number of bytes."""
        del pixels
        return len(made.data)

    def name(self, value: float) -> str:
        """Return bytes."""
        return f"{value:.0f} bytes"

    def excess(self, made: Made, pixels: Pixels) -> float:
        """Return the logarithm of target / bytes."""
        return math.log(self.target / self.measure(made, pixels))

    def excess_by(self, made: Made, sample: Sample, control: float) -> float:
        """Return the logarithm of target / bytes."""
        more = math.log(sample.share) - sample.bits_beyond(control)
        return self.excess(made, sample.pixels) + more

    def shares(self, made: Made, pixels: Pixels) -> list[float]:
        """Return equal ones."""
        del pixels
        assert made.touch is not None
        return [1 / made.touch.parts] * made.touch.parts

    def gain(self, control: float, effort: int, channels: int, photos: Photos) -> float:
        """Return the logarithm of how many times the bytes would fit."""
        del control, effort, channels, photos
        return _SAVED

    def gain_told(self, told: float, bits: float, effort: int, channels: int) -> float:
        """Return the logarithm of how many times the bytes would fit."""
        del bits, effort, channels
        return _SAVED + _TRUST_SAVED * (told - _SAVED)

    def guess(self, pixels: Pixels, photos: Photos) -> float:
        """Return the control of a usual photo at so many bits per pixel."""
        bits = math.log(8 * self.target / (pixels.shape[0] * pixels.shape[1]))
        logs = np.log(photos.controls[::-1])
        return math.exp(float(np.interp(bits, np.log(photos.bits[::-1]), logs)))


class Rough(NamedTuple):
    """Parts of an image as they come out without a trellis: where they are, and how far off.

    ``hints`` are those of `rnnic.methods.Touch`; ``gain`` is what a trellis usually adds, in dB.
    """

    control: float
    gain: float
    places: list[list[TileBox]]
    hints: list[tuple[float, float]]
    errors: list[float]

    @classmethod
    def of(cls, made: Made, pixels: Pixels, control: float, gain: float) -> "Rough | None":
        """Look at an encode; None where it has no parts."""
        touch = made.touch
        if touch is None:
            return None
        places = _places_of(touch)
        hints = [touch.hints(part) for part in range(touch.parts)]
        errors = [squared_error_of(made, pixels, own) for own in places]
        return cls(control, gain, places, hints, errors)


@dataclass(frozen=True)
class Aim:
    """A first control, and how the excess is expected to change.

    Parameters
    ----------
    first : float
        The control.
    slope : float
        Change of the excess with the logarithm of the control.
    response : float
        Change with the `Goal.pull` of all parts of a method's finest pass.
    size : float
        About the bytes of a file near the target, at a low effort.
    rough : Rough, optional
        The image without a trellis, where the effort has one and the goal is a PSNR.
    """

    first: float
    slope: float
    response: float
    size: float
    rough: Rough | None = None


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
        Encodes pixels at a control and an effort; what it keeps of these pixels at 2 serves higher efforts,
        and encodes of samples.
    photos : Photos
        What usual photos have.
    """
    sample = Sample(pixels)

    def moved(control: float, excess: float, slope: float, to: float = goal.middle) -> float:
        way = (to - excess) / slope
        step = min(max(way, -_FARTHEST), _FARTHEST)
        return min(max(control * math.exp(step), span[0]), span[1])

    slope, excess = goal.slope, math.nan
    at = min(max(goal.guess(pixels, photos), span[0]), span[1])

    def approach(
        of: Pixels, lighter: int, near: float, measure: Callable[[Made, float], float]
    ) -> Made:
        """Encode until what is measured is near 0."""
        nonlocal slope, at, excess
        made = encode(of, at, lighter)
        excess = measure(made, at)
        for _ in range(_COARSE_TRIALS):
            following = moved(at, excess, slope)
            if abs(excess) <= near or following == at:
                break
            made = encode(of, following, lighter)
            found = measure(made, following)
            if math.isfinite(excess) and math.isfinite(found):
                seen = (found - excess) / math.log(following / at)
                # Steeper or flatter than this is noise, or no photo.
                slope = min(max(seen / goal.slope, 0.4), 4.0) * goal.slope
            at, excess = following, found
        return made

    channels = pixels.shape[2]
    added = math.nan

    def gain_of(made: Made, control: float) -> float:
        """Return what a trellis adds to the image without, as some of it tells."""
        some = sample.some
        bits = 8 * len(made.data) / pixels[:, :, 0].size
        if some is not None and bits >= _FLAT_BITS:
            lighter, own = (
                goal.excess(encode(some, control, one), some) for one in (_NO_TRELLIS, effort)
            )
            if math.isfinite(own - lighter):
                return goal.gain_told(own - lighter, bits, effort, channels)
        return goal.gain(control, effort, channels, photos)

    def by_sample(made: Made, control: float) -> float:
        return goal.excess_by(made, sample, control)

    def with_trellis(made: Made, control: float) -> float:
        nonlocal added
        added = gain_of(made, control)
        return goal.excess(made, pixels) + added

    trellis = effort > _NO_TRELLIS
    made = approach(sample.pixels, LEAST_EFFORT, goal.near, by_sample)
    size = len(made.data) / sample.share
    if trellis:
        if not math.isnan(excess):
            at = moved(at, excess + goal.gain(at, effort, channels, photos), slope)
        made = approach(pixels, _NO_TRELLIS, goal.near_whole, with_trellis)
        size = len(made.data)
    rough = None
    # Only squared errors can be foreseen, and parts of flat images have too few bits to do much.
    if trellis and isinstance(goal, PsnrGoal) and 8 * size >= _FLAT_BITS * pixels[:, :, 0].size:
        rough = Rough.of(made, pixels, at, added)
    to = goal.middle if rough is None else goal.lean
    first = at if math.isnan(excess) else moved(at, excess, slope, to)
    response = _STRONGER * goal.response if trellis else goal.response
    if rough is not None:
        response *= max(_RESPONSE_BY_GAIN * rough.gain, 1.0)
    return Aim(first, slope, response, size, rough)


def _places_of(touch: Touch) -> list[list[TileBox]]:
    """Return where each part is."""
    return [touch.places(part) for part in range(touch.parts)]


def squared_error_of(made: Made, pixels: Pixels, places: Places) -> float:
    """Return the sum of squared errors in some places of an image."""
    rebuilt = made.reconstruction.reshape(pixels.shape)
    return sum(
        squared_error(pixels[window_of(place)], rebuilt[window_of(place)])[0] for place in places
    )


def goal_of(options: EncodeOptions) -> Goal:
    """Return the target of options that have one."""
    if options.target_psnr is not None:
        return PsnrGoal(options.target_psnr)
    assert options.target_bytes is not None
    return SizeGoal(options.target_bytes)
