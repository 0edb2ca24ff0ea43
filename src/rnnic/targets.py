"""Meeting a PSNR or a size with few encodes: a search over the one number that sets the quality."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

__all__ = ["FAR", "Found", "Reach", "Search"]

Result = TypeVar("Result")
_MAX_TRIALS = 16
_STEP, _SMALL_STEP = math.log(3.0), 0.1
_FIRST = 4.0
_BY_CHANCE = 0.04
"""Places less apart than this, in logarithms, tell less of a slope than what was taken before: excesses are a
little off by chance."""
_FLATTER, _STEEPER = 0.4, 2.5
_BEYOND = 1.2
"""A result beyond the tolerance must cost so much less to be the better one."""
_ENOUGH = 3
"""From so many encodes on, results twice as far are refined, since the excess may jump."""
_NEAR, _PATIENT = 10, 2
"""Up to so many tolerances from the target, so many times the trials are worth it to land."""
_LITTLE = 0.97
"""Of results far beyond the target, the next must cost at most so much of the one before."""


class _Trial(NamedTuple):
    place: float
    excess: float


class Reach(NamedTuple):
    """How far below and above a target a result may be."""

    below: float
    above: float

    def times(self, factor: float) -> "Reach":
        """Return so many times the reach."""
        return Reach(factor * self.below, factor * self.above)

    def holds(self, excess: float, times: float = 1.0) -> bool:
        """Tell whether an excess is within so many times the reach."""
        return -times * self.below <= excess <= times * self.above


FAR = Reach(math.inf, math.inf)
"""However far."""


@dataclass(frozen=True)
class Found(Generic[Result]):
    """The outcome of a search.

    ``result`` is the best one that meets the target, None where none was found; ``reached`` is its
    excess, or the greatest one seen, below 0. ``at_end`` tells that it is beyond the tolerance with the
    control whose excess is the smallest of all.
    """

    result: Result | None
    reached: float
    at_end: bool = False


@dataclass(frozen=True)
class Search:
    """A search for the control whose result meets a target and goes hardly beyond it.

    The excess is taken as monotone in the control and nearly linear in its logarithm: a secant needs
    four to six encodes, fewer from a good start. Where it fails to halve the bracket, as on stairs,
    halving takes its place, and a bracket of `narrow` ends the search. Where the excess jumps, no control
    is within the tolerance: `trials` and `settled` keep the search short.

    Parameters
    ----------
    span : tuple of float
        Least and greatest control, not negative.
    resolution : float
        Controls closer than this give the same result.
    tolerance : float
        An excess of 0 … `tolerance` ends the search.
    finer_is_more : bool
        Whether a smaller control has a greater excess (as with a PSNR) or a smaller one (a size).
    narrow : float
        Good and bad controls whose ratio is within 1 and 1 + `narrow` end the search.
    first : float
        The control to begin with.
    slope : float, optional
        How much the excess changes with the logarithm of the control, near the target.
    trials : int
        So many encodes are enough once a good and a bad control are known, one more where the best
        result is further from the target than is refined, twice as many where it nearly is at it.
    settled : float
        With an excess beyond it, a result that costs hardly less than the one before ends the search.
    refinable : Reach
        A result that is further from the target is not refined, which would cost too much, but in the last
        of the `trials`.
    aim : float, optional
        The excess that controls are chosen for; the middle of what is allowed by default.
    """

    span: tuple[float, float]
    resolution: float
    tolerance: float
    finer_is_more: bool
    narrow: float = 0.01
    first: float = _FIRST
    slope: float | None = None
    trials: int = _MAX_TRIALS
    settled: float = math.inf
    refinable: Reach = FAR
    aim: float | None = None

    def run(
        self,
        encode: Callable[[float], Result],
        excess: Callable[[Result], float],
        refine: Callable[[Result, float], Result] | None = None,
        cost: Callable[[Result], float] | None = None,
        usual: Callable[[Result], float] | None = None,
    ) -> Found[Result]:
        """Search.

        Parameters
        ----------
        encode : callable
            Makes a result of a control.
        excess : callable
            How far a result goes beyond the target; it meets it from 0 on. It may be foreseen, where it is
            beyond `refinable`.
        refine : callable, optional
            Is given a result and its excess, which is not within the tolerance; returns a result of
            the same control that is nearer to the target, or the same. One that was foreseen to meet the
            target may miss it then.
        cost : callable, optional
            Of the results that meet the target, the one of the least cost is the best; the one of the
            least excess by default. Infinite where the excess is foreseen.
        usual : callable, optional
            The excess that tells of other controls, where it is another.
        """
        good: _Trial | None = None
        bad: _Trial | None = None
        best: Result | None = None
        least = reached_best = math.inf
        place: float | None = self._place(min(max(self.first, self.span[0]), self.span[1]))
        before = math.inf
        slope, last = self.slope, None
        best_place = 0.0
        unrefined = False
        tried: set[float] = set()
        for _ in range(_MAX_TRIALS):
            if place is None or place in tried:
                break
            tried.add(place)
            result = encode(self._control(place))
            reached = excess(result)
            trial = _Trial(place, reached if usual is None else usual(result))
            times = 1 if len(tried) < _ENOUGH else 2
            close = self.refinable.holds(reached, times) or len(tried) >= self.trials
            if refine is not None and close and not 0 <= reached <= self.tolerance:
                result = refine(result, reached)
                reached = excess(result)
                if reached < 0 < trial.excess:
                    trial = _Trial(place, reached)  # it was foreseen, not measured
            if trial.excess >= 0:
                good = trial
            else:
                bad = trial
            value = reached if cost is None else cost(result)
            if reached > self.tolerance:
                value *= _BEYOND
            done = 0 <= reached <= self.tolerance
            done = done or (reached > self.settled and value > _LITTLE * least)
            if reached >= 0 and (best is None or value < least):
                best, least, reached_best, best_place = result, value, reached, place
                unrefined = not close
            # One more encode where the best is so far off that it was not refined.
            enough = self.trials + (self.refinable.above < reached_best < math.inf)
            if self.tolerance < reached_best <= _NEAR * self.tolerance:
                enough = _PATIENT * self.trials
            if done or (good and bad and best is not None and len(tried) >= enough):
                break
            width = abs(good.place - bad.place) if good and bad else math.inf
            slope = self._slope(slope, last, trial)
            place = self._next(good, bad, slope, halve=width > before / 2)
            before, last = width, trial
        if best is not None and unrefined and refine is not None and reached_best > self.tolerance:
            other = refine(best, reached_best)
            over = excess(other)
            if over < 0 and math.isinf(least):
                # It was but foreseen to meet the target. From here on, all that is made is measured.
                step = _SMALL_STEP if slope is None else min(abs((over - self._aim) / slope), _STEP)
                place = best_place - step if self.finer_is_more else best_place + step
                surer = replace(self, first=self._control(place), refinable=FAR)
                return surer.run(encode, excess, refine, cost, usual)
            if over >= 0:
                best, reached_best = other, over
        if best is None:
            return Found(None, bad.excess if bad else -math.inf)
        worst = self._place(self.span[1] if self.finer_is_more else self.span[0])
        at_worst = good is not None and self._same(good.place, worst)
        return Found(best, reached_best, at_worst and reached_best > self.tolerance)

    @property
    def _aim(self) -> float:
        return self.tolerance / 2 if self.aim is None else self.aim

    def _same(self, place: float, other: float) -> bool:
        return abs(self._control(place) - self._control(other)) < self.resolution

    def _slope(self, slope: float | None, last: _Trial | None, trial: _Trial) -> float | None:
        """Return a slope that agrees with the last two trials, steeper or flatter within reason."""
        if slope is None or last is None or not math.isfinite(last.excess - trial.excess):
            return slope
        way = abs(trial.place - last.place)
        change = math.copysign(1.0, trial.place - last.place) * (trial.excess - last.excess)
        seen = (change + _BY_CHANCE * slope) / (way + _BY_CHANCE)
        return min(max(seen / slope, _FLATTER), _STEEPER) * slope

    def _place(self, control: float) -> float:
        return math.log(control + self.resolution)

    def _control(self, place: float) -> float:
        control = math.exp(place) - self.resolution
        return min(max(control, self.span[0]), self.span[1])

    def _next(
        self, good: _Trial | None, bad: _Trial | None, slope: float | None, *, halve: bool
    ) -> float | None:
        """Return the next place to try, None where no better one is left."""
        if good is None or bad is None:
            known = good or bad
            assert known is not None
            upwards = self.finer_is_more == (known is good)
            end = self._place(self.span[1] if upwards else self.span[0])
            if self._same(end, known.place):
                return None
            step = _STEP
            if slope is not None and math.isfinite(known.excess):
                step = min(abs((known.excess - self._aim) / slope), step)
                step = max(step, 2 * self.resolution / (self._control(known.place) + 1e-9))
            return min(known.place + step, end) if upwards else max(known.place - step, end)
        gap = abs(self._control(good.place) - self._control(bad.place))
        if gap <= self.resolution or abs(good.place - bad.place) <= math.log1p(self.narrow):
            return None
        share = 0.5
        if math.isfinite(good.excess) and not halve:
            share = (good.excess - self._aim) / (good.excess - bad.excess)
        place = good.place + min(max(share, 0.05), 0.95) * (bad.place - good.place)
        if self._same(place, good.place):
            upwards = bad.place > good.place
            step = self.resolution if upwards else -self.resolution
            place = self._place(self._control(good.place) + step)
        return place
