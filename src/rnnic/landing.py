"""The last steps to a target: parts of an image coded one by one, each with a weight of bits of its own.

An encode without a trellis and the coarse passes of one with it tell what its finest pass will give, within
some hundredths of a dB; of large images, groups of tiles tell of the others. So parts are coded one after the
other, each with the weight that is expected to bring the whole to the target; then some of them anew.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from rnnic.aiming import Aim, Goal, Made, Pixels, PsnrGoal, Rough, squared_error_of
from rnnic.methods import Touch
from rnnic.metrics import DB
from rnnic.targets import FAR, Reach

__all__ = ["Landing", "refine"]

Result = TypeVar("Result", bound=Made)

_LIMITS = -1.2, 0.8
"""Biases beyond these are not worth it."""
_LEAST_SCALE, _MOST_SCALE = 0.1, 4.0
_TRUST = 0.05
_MAX_TOUCHES = 8
_LEAST_SHARE = 0.2
"""Where the finest level does less of what all do, its lanes are of no use."""
_LEVEL_LIMITS = -0.6, 0.5
_TRUST_LEVELS = 0.1
_LEAST_PULLS = 0.01
"""Between pulls nearer than this, an excess that jumps is not looked for."""
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
                if part != order[-1] and not reach.holds(excess, times):
                    break
            bias = 0.0
            if rest > 0:
                allowed = max((self._budget - spent) / rest, _LEAST_ALLOWED)
                bias = goal.bias(-DB * math.log(allowed) / response)
                bias = min(max(bias, _LIMITS[0]), _LIMITS[1])
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
        hints = [touch.hints(part) for part in range(touch.parts)]
        self._known = Rough(control, 0.0, hints, errors)
        return made, excess


def refine(goal: Goal, aim: Aim, made: Result, pixels: Pixels, excess: float) -> Result:
    """Bring an encoded image nearer to its goal by coding parts of it with another weight of bits.

    What is returned is the nearest found that meets the goal, or else the one given.
    """
    deep = made.deepened() if math.isfinite(excess) else None
    shares = None if deep is None or deep.touch is None else deep.touch.shares
    best, least = made, excess if excess >= 0 else math.inf
    if not shares or shares[0] >= _LEAST_SHARE:
        best, least = _refined(goal, aim, made, pixels, excess)
        deep = made.deepened() if deep is not None else None
    if deep is not None and least > goal.tolerance:
        other, over = _refined_by_levels(goal, aim, deep, pixels, goal.excess(deep, pixels))
        if over < least:
            return other
    return best


def _refined(
    goal: Goal, aim: Aim, made: Result, pixels: Pixels, excess: float
) -> tuple[Result, float]:
    """Refine with the touch there is; return the best and its excess, infinite where it misses the goal."""
    best, least = made, excess if excess >= 0 else math.inf
    if made.touch is None or not math.isfinite(excess):
        return best, least
    strength = aim.response * made.touch.strength
    responses = [strength * share for share in goal.shares(made, pixels)]
    pulls = [goal.pull(bias) for bias in made.touch.biases]
    now, expected, seen = made, 0.0, 0.0
    trust = _TRUST * sum(map(abs, responses))
    # Pulls of the latest part, and what they gave, below and above the middle.
    latest, below, above = -1, None, None
    for _ in range(_MAX_TOUCHES):
        missing = goal.middle - excess
        if below is not None and above is not None:
            if abs(above[0] - below[0]) < _LEAST_PULLS:
                break
            part = latest
            share = min(max((goal.middle - below[1]) / (above[1] - below[1]), 0.15), 0.85)
            pull = below[0] + share * (above[0] - below[0])
        else:
            # What parts before did tells of the next; at first what is usual is believed.
            scale = (
                min(max((trust + seen) / (trust + expected), _LEAST_SCALE), _MOST_SCALE)
                if trust
                else 1.0
            )
            part, pull = _next_touch(goal, missing / scale, responses, pulls)
        if part < 0:
            break
        if part != latest:
            latest, below, above = part, None, None
            if missing > 0:
                below = pulls[part], excess
            else:
                above = pulls[part], excess
        now = now.touched(part, goal.bias(pull))
        after = goal.excess(now, pixels)
        change = (pull - pulls[part]) * responses[part]
        expected += abs(change)
        seen += (after - excess) * math.copysign(1, change)
        excess, pulls[part] = after, pull
        if 0 <= excess < least:
            best, least = now, excess
        if 0 <= excess <= goal.tolerance:
            break
        if excess < goal.middle:
            below = pull, excess
        else:
            above = pull, excess
    return best, least


class _Point(NamedTuple):
    """What a pull of a part gave, or would give."""

    pull: float
    excess: float


def _refined_by_levels(
    goal: Goal, aim: Aim, made: Result, pixels: Pixels, excess: float
) -> tuple[Result, float]:
    """Refine with a touch of the finest levels, as few as can do it: other bits change all that follows.

    Files of few bits are some hundredths of a dB off by chance; less so, the fewer bits are coded anew.
    """
    best, least = made, excess if excess >= 0 else math.inf
    touch = made.touch
    assert touch is not None
    assert touch.shares is not None
    responses = [aim.response * touch.strength * share for share in touch.shares]
    finest = goal.pull(touch.biases[0])
    # A part codes those before it anew, too: what it gives depends on its own pull, and on parts after it.
    points = [[_Point(0.0, excess - responses[0] * finest)] for _ in responses]
    points[0] = [_Point(finest, excess)]
    # What each part did, and was expected to do.
    seen, expected = [0.0] * len(points), [0.0] * len(points)
    now = made
    for _ in range(_MAX_TOUCHES):
        believed = [
            response * _scale(done, hoped, sum(seen), sum(expected), abs(response))
            for response, done, hoped in zip(responses, seen, expected, strict=True)
        ]
        part, pull = _next_level(goal, points, believed)
        if part < 0:
            break
        now = now.touched(part, goal.bias(pull))
        excess = goal.excess(now, pixels)
        point, before = _Point(pull, excess), points[part][-1]
        change = responses[part] * (pull - before.pull)
        expected[part] += abs(change)
        seen[part] += (excess - before.excess) * math.copysign(1, change)
        points[part].append(point)
        points[:part] = [[point] for _ in range(part)]
        if 0 <= excess < least:
            best, least = now, excess
        if 0 <= excess <= goal.tolerance:
            break
    return best, least


def _scale(
    seen: float, expected: float, all_seen: float, all_expected: float, usual: float
) -> float:
    """Return how many times as much as expected a part does, as it did before, or else as all did."""
    trust = _TRUST_LEVELS * usual
    if not expected:
        seen, expected = all_seen, all_expected
    times = (trust + seen) / (trust + expected) if trust else 1.0
    return min(max(times, _LEAST_SCALE), _MOST_SCALE)


def _next_level(
    goal: Goal, points: Sequence[Sequence[_Point]], responses: Sequence[float]
) -> tuple[int, float]:
    """Return the first part that can do it, and its new pull; part -1 where there is none."""
    least, most = map(goal.pull, _LEVEL_LIMITS)
    for part, (known, response) in enumerate(zip(points, responses, strict=True)):
        if response:
            pull = _level_pull(goal.middle, known, response)
            apart = min(abs(pull - point.pull) for point in known)
            if least <= pull <= most and apart >= _LEAST_PULLS:
                return part, pull
    return -1, 0.0


def _level_pull(middle: float, known: Sequence[_Point], response: float) -> float:
    """Return the pull that is expected to give the middle."""
    nearest = min(known, key=lambda point: abs(point.excess - middle))
    others = [point for point in known if (point.excess < middle) != (nearest.excess < middle)]
    if others:
        other = min(others, key=lambda point: abs(point.excess - middle))
        share = (middle - nearest.excess) / (other.excess - nearest.excess)
        return nearest.pull + max(share, 0.15) * (other.pull - nearest.pull)
    if len(known) > 1:
        # Parts without residuals that could change do nothing.
        second = known[-1] if known[-1] is not nearest else known[-2]
        times = (second.excess - nearest.excess) / (second.pull - nearest.pull) / response
        response *= min(max(times, 0.25), 4.0)
    return nearest.pull + (middle - nearest.excess) / response


def _next_touch(
    goal: Goal, missing: float, responses: Sequence[float], pulls: Sequence[float]
) -> tuple[int, float]:
    """Return the part to code next and its new pull; part -1 where all together cannot do it.

    As few parts as can do it share the work equally.
    """
    least, most = map(goal.pull, _LIMITS)
    ways = [
        (most if missing * response > 0 else least) - pull
        for response, pull in zip(responses, pulls, strict=True)
    ]
    reach = [way * response for way, response in zip(ways, responses, strict=True)]
    useful = [part for part in range(len(reach)) if reach[part] * missing > 0]
    useful.sort(key=lambda part: -abs(reach[part]))
    total = 0.0
    for part in useful:
        total += reach[part]
        if abs(total) >= abs(missing):
            first = useful[0]
            return first, pulls[first] + ways[first] * missing / total
    return -1, 0.0
