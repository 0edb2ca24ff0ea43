"""Brings an encoded image nearer to its target by coding parts of it anew, with other weights of bits.

Parts are lanes or groups of tiles; in files of few bits they are the finest levels, one with all finer ones.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from rnnic.aiming import Aim, Goal, Made, Pixels

__all__ = ["LIMITS", "refine"]

Result = TypeVar("Result", bound=Made)

LIMITS = -1.2, 0.8
"""Biases beyond these are not worth it."""
_LEAST_SCALE, _MOST_SCALE = 0.1, 4.0
"""Parts do as many times as much as expected."""
_TRUST, _TRUST_LEVELS = 0.05, 0.1
"""Until parts were expected to do this share of what all can, or a level of what it can, the usual is
believed more than what was seen."""
_MAX_TOUCHES, _FEW_TOUCHES, _MAX_LEVEL_TOUCHES = 8, 2, 12
_LEAST_SHARE = 0.2
"""Where the finest level does less of what all do, its lanes are of little use: few are tried, and only where
they have weights of their own."""
_LEVEL_LIMITS = -0.6, 0.5
"""Beyond these, more levels are the better way."""
_SAME_LEVELS, _SAME_PULLS = 0.95, 0.05
"""Levels that do hardly more than finer ones are not tried with a pull that these had."""
_LEAST_PULLS = 0.01
"""Between pulls nearer than this, an excess that jumps is not looked for."""


def refine(goal: Goal, aim: Aim, made: Result, pixels: Pixels, excess: float) -> Result:
    """Bring an encoded image nearer to its goal by coding parts of it with another weight of bits.

    What is returned is the nearest found that meets the goal, or else the one given.
    """
    deep = made.deepened() if math.isfinite(excess) else None
    shares = None if deep is None or deep.touch is None else deep.touch.shares
    best, least = made, excess if excess >= 0 else math.inf
    touches = _MAX_TOUCHES
    if shares and shares[0] < _LEAST_SHARE:
        touches = _FEW_TOUCHES if made.touch is not None and any(made.touch.biases) else 0
    if touches:
        best, least = _refined(goal, aim, made, pixels, excess, touches)
        if deep is not None and least > goal.tolerance:
            deep = made.deepened()  # lanes were coded in between
    if deep is not None and least > goal.tolerance:
        other, over = _refined_by_levels(goal, aim, deep, pixels, goal.excess(deep, pixels))
        if over < least:
            return other
    return best


def _refined(
    goal: Goal, aim: Aim, made: Result, pixels: Pixels, excess: float, touches: int
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
    for _ in range(touches):
        missing = goal.middle - excess
        if below is not None and above is not None:
            if abs(above[0] - below[0]) < _LEAST_PULLS:
                break
            part = latest
            share = min(max((goal.middle - below[1]) / (above[1] - below[1]), 0.15), 0.85)
            pull = below[0] + share * (above[0] - below[0])
        else:
            # What parts before did tells of the next; at first what is usual is believed.
            scale = _scale(seen, expected, trust)
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


def _scale(seen: float, expected: float, trust: float) -> float:
    """Return how many times as much as expected a part will do; `trust` is what stands for no experience."""
    times = (trust + seen) / (trust + expected) if trust else 1.0
    return min(max(times, _LEAST_SCALE), _MOST_SCALE)


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
    for _ in range(_MAX_LEVEL_TOUCHES):
        # What a part was not seen to do, it does as all did.
        all_seen, all_expected = sum(seen), sum(expected)
        believed = [
            response
            * _scale(
                own if hoped else all_seen, hoped or all_expected, _TRUST_LEVELS * abs(response)
            )
            for response, own, hoped in zip(responses, seen, expected, strict=True)
        ]
        part, pull = _next_level(goal, points, responses, believed)
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


def _next_level(
    goal: Goal,
    points: Sequence[Sequence[_Point]],
    responses: Sequence[float],
    believed: Sequence[float],
) -> tuple[int, float]:
    """Return the first part that can do it, and its new pull; part -1 where there is none."""
    least, most = map(goal.pull, _LEVEL_LIMITS)
    for part, (known, response) in enumerate(zip(points, believed, strict=True)):
        if response:
            pull = _level_pull(goal.middle, known, response)
            apart = min(abs(pull - point.pull) for point in known)
            done = any(
                own / responses[part] > _SAME_LEVELS and abs(pull - before[-1].pull) < _SAME_PULLS
                for own, before in zip(responses[:part], points, strict=False)
            )
            if least <= pull <= most and apart >= _LEAST_PULLS and not done:
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
    least, most = map(goal.pull, LIMITS)
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
