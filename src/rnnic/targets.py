"""Meeting a PSNR or a size with few encodes: a search over the one number that sets the quality."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Found", "Hint", "Search"]

Result = TypeVar("Result")
_MAX_TRIALS = 16
_STEP = math.log(3.0)
_FIRST = 4.0


class _Trial(NamedTuple):
    place: float
    excess: float


@dataclass(frozen=True)
class Found(Generic[Result]):
    """The outcome of a search.

    ``result`` is the best one that meets the target, None where none was found; ``reached`` is then
    the greatest excess seen, below 0. ``hint`` starts another search for the same target.
    """

    result: Result | None
    reached: float
    hint: "Hint | None" = None


class Hint(NamedTuple):
    """Where a search may start, and how the excess changes there with the control's logarithm."""

    control: float
    slope: float


@dataclass(frozen=True)
class Search:
    """A search for the control whose result meets a target and goes hardly beyond it.

    The excess is taken as monotone in the control and nearly linear in its logarithm: a secant needs
    four to six encodes. Where it fails to halve the bracket, as on stairs, halving takes its place,
    and a bracket of `narrow` ends the search.

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
    """

    span: tuple[float, float]
    resolution: float
    tolerance: float
    finer_is_more: bool
    narrow: float = 0.01

    def run(
        self,
        encode: Callable[[float], Result],
        excess: Callable[[Result], float],
        hint: Hint | None = None,
    ) -> Found[Result]:
        """Search.

        Parameters
        ----------
        encode : callable
            Makes a result of a control.
        excess : callable
            How far a result goes beyond the target; it meets it from 0 on.
        hint : Hint, optional
            What a search with a cheaper encoder found.
        """
        good: _Trial | None = None
        bad: _Trial | None = None
        best: Result | None = None
        first = _FIRST if hint is None else hint.control
        place: float | None = self._place(min(max(first, self.span[0]), self.span[1]))
        before = math.inf
        for _ in range(_MAX_TRIALS):
            if place is None:
                break
            result = encode(self._control(place))
            trial = _Trial(place, excess(result))
            if trial.excess >= 0:
                good, best = trial, result
                if trial.excess <= self.tolerance:
                    break
            else:
                bad = trial
            width = abs(good.place - bad.place) if good and bad else math.inf
            if hint is not None and not (good and bad):
                place = self._hinted(good, bad, hint.slope)
            else:
                place = self._next(good, bad, halve=width > before / 2)
            before = width
        reached = good.excess if good else bad.excess if bad else -math.inf
        return Found(best, reached, self._hint(good, bad))

    def _hint(self, good: _Trial | None, bad: _Trial | None) -> Hint | None:
        """Return where the target is between the last trials, None where that is not known."""
        if not (good and bad and math.isfinite(good.excess) and good.place != bad.place):
            return None
        slope = (good.excess - bad.excess) / (good.place - bad.place)
        return Hint(self._control(good.place - good.excess / slope), slope)

    def _hinted(self, good: _Trial | None, bad: _Trial | None, slope: float) -> float | None:
        """Return the place where the target is by a known slope, None at the end of the span.

        Only one of the two trials is there.
        """
        known = good or bad
        assert known is not None
        if math.isfinite(known.excess):
            move = (self.tolerance / 2 - known.excess) / slope
            control = self._control(known.place + min(max(move, -_STEP), _STEP))
            if abs(control - self._control(known.place)) >= self.resolution:
                return self._place(control)
        return self._next(good, bad, halve=False)

    def _place(self, control: float) -> float:
        return math.log(control + self.resolution)

    def _control(self, place: float) -> float:
        control = math.exp(place) - self.resolution
        return min(max(control, self.span[0]), self.span[1])

    def _next(self, good: _Trial | None, bad: _Trial | None, *, halve: bool) -> float | None:
        """Return the next place to try, None where no better one is left."""
        if good is None or bad is None:
            known = good or bad
            assert known is not None
            upwards = self.finer_is_more == (known is good)
            end = self._place(self.span[1] if upwards else self.span[0])
            if abs(self._control(end) - self._control(known.place)) < self.resolution:
                return None
            return min(known.place + _STEP, end) if upwards else max(known.place - _STEP, end)
        gap = abs(self._control(good.place) - self._control(bad.place))
        if gap <= self.resolution or abs(good.place - bad.place) <= math.log1p(self.narrow):
            return None
        share = 0.5
        if math.isfinite(good.excess) and not halve:
            aim = self.tolerance / 2
            share = (good.excess - aim) / (good.excess - bad.excess)
        place = good.place + min(max(share, 0.05), 0.95) * (bad.place - good.place)
        if abs(self._control(place) - self._control(good.place)) < self.resolution:
            upwards = bad.place > good.place
            step = self.resolution if upwards else -self.resolution
            place = self._place(self._control(good.place) + step)
        return place
