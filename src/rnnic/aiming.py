"""Where the search for a target begins: cheap encodes of a sample of the image.

The PSNR and the size of a sample follow the step size as those of the whole image do, and low efforts
follow the others; so encodes at the least effort of a sample, and then one without a trellis of the whole
image, tell what the image will have at the effort asked for. What a trellis adds is taken from usual photos.
What was fitted to the whole image serves the encodes that follow. In noisy images a trellis adds a lot, more
or less by the step, but all parts are much the same: there, the sample is coded with the trellis, and tells
all. So it is with grey textures, which a trellis makes worse.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
    "Aiming",
    "Goal",
    "Made",
    "PsnrGoal",
    "Rough",
    "SizeGoal",
    "goal_of",
    "hints_of",
    "squared_error_of",
]

Pixels = npt.NDArray[Any]  # uint8 or uint16
Places = Sequence[TileBox]
LEAST_EFFORT = 1
_NO_TRELLIS = 2
"""The greatest effort without a trellis."""
_COARSE_TRIALS = 6
_FLAT_BITS = 0.125
_NOISY, _NOISY_STEP, _NOISY_FINER = 4.0, 6.0, 1.75
"""At so many dB less than photos usually have at its step, fewer at finer steps, an image is noisy: a sample
tells its PSNR at any effort with a standard deviation of 0.03 dB, while what a trellis adds to the image
without is foreseen 0.3 dB off (training crops with noise)."""
_NEAR_NOISY = 0.3
_WORSE, _WORSE_STEP = -0.3, 9.0
"""At fine steps, a trellis may take away so many dB from grey textures, or more. What it does to the image is
foreseen 0.2 dB off then."""
_TOLD_NEAR = 0.12
"""Steps that differ by no more than this, in logarithms, gain the same by a trellis."""
_FARTHEST = math.log(4.0)
_STRONGER = 1.17
"""The trellis search makes so much more of a changed weight than the greedy one (training crops)."""
_TRIED_BIAS = 0.3
_LEAST_RESPONSE, _MOST_RESPONSE = 0.1, 8.0
_LEAST_FREEDOM, _MOST_FREEDOM = 0.7, 1.3
"""Another weight of bits goes so many times as far as usual, at least and at most."""
_LITTLE_RESPONSE = 0.3
"""Another weight of bits that does less than this, as multiple of the usual, may not be enough where an image
was aimed beside a target."""
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

    def deepened(self) -> Self | None:
        """Return the same with a touch of another kind, where there is one."""


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
        logs = np.log(photos.controls[::-1])
        known = photos.psnr_with(pixels.shape[2])[::-1]
        return math.exp(float(np.interp(self.target, known, logs)))


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
    """How far off the parts of an image are at a control.

    ``hints`` are those of `rnnic.methods.Touch`; ``gain`` is what the effort asked for adds, in dB.
    """

    control: float
    gain: float
    hints: list[tuple[float, float]]
    errors: list[float]

    @classmethod
    def of(cls, made: Made, pixels: Pixels, control: float, gain: float) -> "Rough | None":
        """Look at an encode; None where it has no parts."""
        touch = made.touch
        if touch is None:
            return None
        errors = [squared_error_of(made, pixels, own) for own in _places_of(touch)]
        return cls(control, gain, hints_of(touch), errors)


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
    foreseen : float, optional
        The excess at ``first``, where a sample tells it; there is no ``rough`` then.
    """

    first: float
    slope: float
    response: float
    size: float
    rough: Rough | None = None
    foreseen: float | None = None

    def freedom(self, goal: Goal) -> float:
        """Return how many times as far as usual another weight of bits may go: for the same loss.

        What is lost grows with the square of the bias, and with the response.
        """
        return min(max(math.sqrt(self._times(goal)), _LEAST_FREEDOM), _MOST_FREEDOM)

    def lean(self, goal: Goal) -> float:
        """Return the excess to aim at: where another weight of bits does little, parts cannot do the rest."""
        return goal.lean if self._times(goal) >= _LITTLE_RESPONSE else goal.middle

    def _times(self, goal: Goal) -> float:
        """Return how many times the usual the response is."""
        return self.response / (_STRONGER * goal.response)


class _Told(NamedTuple):
    """What a trellis adds to some of an image at a control, and this some of it with the trellis."""

    control: float
    gain: float
    made: tuple[Made, Pixels]


class Aiming:
    """Finds the control to begin with.

    Parameters
    ----------
    goal : Goal
    pixels : uint8 or uint16 (H, W, c)
    effort : int
        The effort of the encodes that follow.
    span : tuple of float
        Least and greatest control.
    encode : callable
        Encodes pixels at a control and an effort; what it keeps of the pixels serves those that follow, of
        the image, of samples of it, or of both.
    photos : Photos
        What usual photos have.
    """

    def __init__(
        self,
        goal: Goal,
        pixels: Pixels,
        effort: int,
        span: tuple[float, float],
        encode: Callable[[Pixels, float, int], Made],
        photos: Photos,
    ) -> None:
        self._goal, self._pixels, self._effort = goal, pixels, effort
        self._span, self._encode, self._photos = span, encode, photos
        self._sample = Sample(pixels)
        self._slope, self._excess = goal.slope, math.nan
        self._at = min(max(goal.guess(pixels, photos), span[0]), span[1])
        self._gained = math.nan
        """What a trellis adds to the image without, as some of it tells."""
        self._told: _Told | None = None

    def run(self) -> Aim:
        """Encode a sample, and the whole image where that tells more."""
        goal, sample = self._goal, self._sample
        made = self._approach(sample.pixels, LEAST_EFFORT, goal.near, self._by_sample)
        size = len(made.data) / sample.share
        if self._effort <= _NO_TRELLIS:
            return Aim(self._moved(goal.middle), self._slope, goal.response, size)
        some = sample.some if sample.whole else sample.pixels
        if some is not None and (self._is_noisy() or self._is_worse_with_trellis()):
            return self._by_some(some)
        if not math.isnan(self._excess):
            self._excess += self._usual_gain()
        self._at = self._moved(goal.middle)
        made = self._approach(self._pixels, _NO_TRELLIS, goal.near_whole, self._with_trellis)
        bits = 8 * len(made.data)
        rough = None
        # Only squared errors can be foreseen, and parts of flat images have too few bits to do much.
        if isinstance(goal, PsnrGoal) and bits >= _FLAT_BITS * self._pixels[:, :, 0].size:
            rough = Rough.of(made, self._pixels, self._at, self._gained)
        response = _STRONGER * goal.response
        if rough is not None and made.touch is not None and made.touch.hinting:
            response = _STRONGER * self._response(made, self._pixels, parts=1)
        elif rough is not None and self._told is not None:
            response = self._response(*self._told.made)
        aim = Aim(self._at, self._slope, response, len(made.data), rough)
        first = self._moved(goal.middle if rough is None else aim.lean(goal))
        return replace(aim, first=first)

    def _response(self, made: Made, pixels: Pixels, parts: int | None = None) -> float:
        """Return `Aim.response`, as the worst parts, or all, tell when coded with another weight of bits."""
        goal, touch = self._goal, made.touch
        if touch is None:
            return goal.response
        places = _places_of(touch)
        errors = [squared_error_of(made, pixels, own) for own in places]
        worst = sorted(range(touch.parts), key=lambda part: -errors[part])[:parts]
        before = sum(errors[part] for part in worst)
        after = 0.0
        for part in worst:
            after += squared_error_of(made.touched(part, _TRIED_BIAS), pixels, places[part])
        if min(before, after) <= 0:
            return goal.response
        seen = -DB * math.log(after / before) / goal.pull(_TRIED_BIAS) / touch.strength
        times = min(seen / goal.response, _MOST_RESPONSE)
        return goal.response * (times if times >= _LEAST_RESPONSE else 1.0)

    def _moved(self, to: float) -> float:
        """Return the control at which the excess is expected to be another."""
        if math.isnan(self._excess):
            return self._at
        way = (to - self._excess) / self._slope
        step = min(max(way, -_FARTHEST), _FARTHEST)
        return min(max(self._at * math.exp(step), self._span[0]), self._span[1])

    def _approach(
        self, pixels: Pixels, effort: int, near: float, measure: Callable[[Made], float]
    ) -> Made:
        """Encode until what is measured is near 0."""
        goal = self._goal
        made = self._encode(pixels, self._at, effort)
        self._excess = measure(made)
        for _ in range(_COARSE_TRIALS):
            before, excess, following = self._at, self._excess, self._moved(goal.middle)
            if abs(excess) <= near or following == before:
                break
            self._at = following
            made = self._encode(pixels, following, effort)
            self._excess = measure(made)
            if math.isfinite(excess) and math.isfinite(self._excess):
                seen = (self._excess - excess) / math.log(following / before)
                # Steeper or flatter than this is noise, or no photo.
                self._slope = min(max(seen / goal.slope, 0.4), 4.0) * goal.slope
        return made

    def _usual_gain(self) -> float:
        channels = self._pixels.shape[2]
        return self._goal.gain(self._at, self._effort, channels, self._photos)

    def _by_sample(self, made: Made) -> float:
        return self._goal.excess_by(made, self._sample, self._at)

    def _with_trellis(self, made: Made) -> float:
        """Return the excess of the image without a trellis, and what one adds, as some of it tells."""
        goal, some = self._goal, self._sample.some
        bits = 8 * len(made.data) / self._pixels[:, :, 0].size
        self._gained = self._usual_gain()
        if some is not None and bits >= _FLAT_BITS:
            told = self._told
            if told is None or abs(math.log(self._at / told.control)) > _TOLD_NEAR:
                told = self._told = self._tell(some)
            if math.isfinite(told.gain):
                channels = self._pixels.shape[2]
                self._gained = goal.gain_told(told.gain, bits, self._effort, channels)
        return goal.excess(made, self._pixels) + self._gained

    def _tell(self, some: Pixels) -> _Told:
        """Encode some of the image without a trellis and with it."""
        lighter = self._goal.excess(self._encode(some, self._at, _NO_TRELLIS), some)
        made = self._encode(some, self._at, self._effort)
        return _Told(self._at, self._goal.excess(made, some) - lighter, (made, some))

    def _is_worse_with_trellis(self) -> bool:
        some, grey = self._sample.some, self._pixels.shape[2] < 3
        if some is None or not grey or not isinstance(self._goal, PsnrGoal):
            return False
        if self._at > _WORSE_STEP:
            return False
        self._told = self._tell(some)
        return self._told.gain < _WORSE

    def _is_noisy(self) -> bool:
        goal, photos = self._goal, self._photos
        known = photos.psnr_with(self._pixels.shape[2])
        usual = float(np.interp(math.log(self._at), np.log(photos.controls), known))
        least = _NOISY - _NOISY_FINER * max(math.log(_NOISY_STEP / self._at), 0.0)
        return isinstance(goal, PsnrGoal) and usual - (goal.target + self._excess) > least

    def _by_some(self, some: Pixels) -> Aim:
        """Aim by some of the image with the trellis; what it adds there, it adds to the whole."""
        goal, beyond = self._goal, 0.0
        if self._sample.whole:
            beyond = self._excess - goal.excess(self._encode(some, self._at, LEAST_EFFORT), some)

        def measure(made: Made) -> float:
            if self._sample.whole:
                return beyond + goal.excess(made, some)
            return self._by_sample(made)

        self._excess += self._usual_gain()
        self._at = self._moved(goal.middle)
        made = self._approach(some, self._effort, _NEAR_NOISY, measure)
        size = len(made.data) * self._pixels.size / some.size
        aim = Aim(self._at, self._slope, self._response(made, some), size, foreseen=self._excess)
        first = self._moved(aim.lean(goal))
        return replace(
            aim, first=first, foreseen=self._excess + self._slope * math.log(first / self._at)
        )


def _places_of(touch: Touch) -> list[list[TileBox]]:
    """Return where each part is."""
    return [touch.places(part) for part in range(touch.parts)]


def hints_of(touch: Touch) -> list[tuple[float, float]]:
    """Return the hints of each part."""
    return [touch.hints(part) for part in range(touch.parts)]


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
