"""The last steps to a target: parts of an image coded one by one, each with a weight of bits of its own.

An encode without a trellis and the coarse passes of one with it tell what its finest pass will give, within
some hundredths of a dB; of large images, groups of tiles tell of the others. So parts are coded one after the
other, each with the weight that is expected to bring the whole to the target. Where that is not enough,
`rnnic.refining` goes on.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

from rnnic.aiming import Aim, Made, Pixels, PsnrGoal, Rough, hints_of, squared_error_of
from rnnic.methods import Touch
from rnnic.metrics import DB
from rnnic.refining import LIMITS
from rnnic.targets import FAR, Reach

__all__ = ["Landing"]

Result = TypeVar("Result", bound=Made)

_LEAST_ALLOWED = 0.1
_GAINED, _SLOPES = 0.5, (0.93, -0.43)
"""How the logarithm of the squared error follows what a trellis is foreseen to add, and those of the two
coarser levels, between two encodes: with a standard deviation of 0.04 dB, 0.06 by either alone."""
_FARTHER = 4 / 3
"""Once parts are coded, there is more to lose by another encode."""
_DOUBT, _DOUBT_UNHINTED, _DOUBT_SAMPLED = 0.2, 0.03, 1.0
"""A part that is this share of an image tells half of how far what is foreseen of all of it is off; where a
sample tells of all of it, but coarser levels of the part, it tells less.

The numbers are of training crops.
"""
_SURE_SHARE = 0.5
"""What a sample tells of an image is relied on once parts with this share of the error are coded."""
_BETWEEN = 1.7, -0.8
"""How the logarithm of the squared error of a part follows those of the two coarser levels, from part to part
of noisy images (training crops with noise): with a standard deviation of 0.07 dB."""


class Landing:
    """Codes the parts that encodes of an image at several controls left, so that it meets its goal.

    Parameters
    ----------
    goal : PsnrGoal
    aim : Aim
        What it tells of the parts: `Aim.rough`, or `Aim.foreseen`.
    pixels : uint8 or uint16 (H, W, c)
    """

    def __init__(self, goal: PsnrGoal, aim: Aim, pixels: Pixels) -> None:
        self._goal, self._aim, self._pixels = goal, aim, pixels
        self._budget = goal.budget(pixels)
        self._known = aim.rough
        """What the last encode tells of the next."""
        self._measured: set[int] | None = None
        """The parts that some encode had coded, None before the first."""

    def approach(self, made: Result, control: float) -> tuple[Result, float]:
        """Code the parts, unless it is foreseen, before or after some of them, that the target is too far.

        Parameters
        ----------
        made : Result
            Parts of it are left.
        control : float
            What it is encoded at.

        Returns
        -------
        made : Result
            Parts are left still where the target is beyond `Goal.refinable`.
        excess : float
            What it is, or would be, with the usual weight of bits in all parts.
        """
        return self._code(made, control, self._goal.refinable.times(self._aim.freedom(self._goal)))

    def complete(self, made: Result, control: float) -> Result:
        """Code all parts, however far the target is."""
        return self._code(made, control, FAR)[0]

    def _foreseen(self, touch: Touch, control: float) -> list[float]:
        """Return the squared error of each part, were it coded with the usual weight of bits."""
        known = self._known
        if known is None:
            return self._shared_out(touch, control)
        change = -self._aim.slope * math.log(control / known.control) / DB
        found = []
        for part, (error, hints) in enumerate(zip(known.errors, known.hints, strict=True)):
            exponent = change - (_GAINED if touch.hinting else 1.0) * known.gain / DB
            if touch.hinting:
                for slope, now, before in zip(_SLOPES, touch.hints(part), hints, strict=True):
                    if now > 0 and before > 0:
                        exponent += slope * (math.log(now / before) - change)
            found.append(error * math.exp(exponent))
        return found

    def _shared_out(self, touch: Touch, control: float) -> list[float]:
        """Return the same, where a sample tells of the whole image, and the coarser levels of its parts."""
        assert self._aim.foreseen is not None
        excess = self._aim.foreseen + self._aim.slope * math.log(control / self._aim.first)
        whole = self._budget * math.exp((self._goal.middle - excess) / DB)
        shares = []
        for part in range(touch.parts):
            count = sum(place.width * place.height for place in touch.places(part))
            mean = [hint / count if count else 0.0 for hint in touch.hints(part)]
            known = touch.hinting and min(mean) > 0
            shares.append(count * math.prod(map(pow, mean, _BETWEEN)) if known else float(count))
        return [whole * share / sum(shares) for share in shares]

    def _code(self, made: Result, control: float, reach: Reach) -> tuple[Result, float]:
        goal, touch = self._goal, made.touch
        assert touch is not None
        foreseen = self._foreseen(touch, control)
        whole = sum(foreseen)
        spent, told, seen, off = 0.0, 0.0, 0.0, 0.0
        response = touch.strength * self._aim.response
        doubt = _DOUBT if touch.hinting else _DOUBT_UNHINTED
        if self._known is None:
            doubt = _DOUBT_SAMPLED
        errors, coded = foreseen.copy(), set[int]()
        order = sorted(range(touch.parts), key=lambda part: -foreseen[part])
        excess = math.inf
        for part in order:
            rest = math.exp(off) * max(whole - told, 0.0)
            if seen + rest > 0:
                excess = goal.middle + DB * math.log(self._budget / (seen + rest))
                times = 1.0 if part == order[0] else _FARTHER
                sure = part != order[-1] and self._is_sure(
                    coded, told >= _SURE_SHARE * whole, order
                )
                if sure and not reach.holds(excess, times):
                    break
            bias = 0.0
            if rest > 0:
                allowed = max((self._budget - spent) / rest, _LEAST_ALLOWED)
                bias = goal.bias(-DB * math.log(allowed) / response)
                bias = min(max(bias, LIMITS[0]), LIMITS[1])
            made = made.touched(part, bias)
            own = squared_error_of(made, self._pixels, touch.places(part))
            spent += own
            told += foreseen[part]
            errors[part] = own * math.exp(response * goal.pull(bias) / DB)
            seen += errors[part]
            if seen > 0 and told > 0:
                off = math.log(seen / told) * told / (told + doubt * whole)
            coded.add(part)
        else:
            if seen > 0:
                excess = goal.middle + DB * math.log(self._budget / seen)
        for part in set(order) - coded:
            errors[part] *= math.exp(off)
        self._known = Rough(control, 0.0, hints_of(touch), errors)
        self._measured = coded.union(self._measured or ())
        return made, excess

    def _is_sure(self, coded: set[int], most: bool, parts: Sequence[int]) -> bool:
        """Tell whether what is foreseen of the whole image is enough to leave the rest of its parts.

        After an image without a trellis it is. What a sample tells is once `most` is coded, and from the
        second encode on once all parts were in one or another.
        """
        if self._aim.rough is not None:
            return True
        if self._measured is None:
            return most
        return self._measured.union(coded).issuperset(parts)
