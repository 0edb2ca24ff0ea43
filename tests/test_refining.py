"""Refining, of stand-ins for images whose parts do what a test wants."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from rnnic.aiming import Aim, PsnrGoal
from rnnic.refining import refine


class _Goal(PsnrGoal):
    def excess(self, made: Any, pixels: Any) -> float:
        del pixels
        return float(made.value)


@dataclass
class _Image:
    """An image of few bits; the other weight that its first touched level gets adds ``gain`` dB, once."""

    value: float
    gain: float
    touches: list[tuple[int, float]] = field(default_factory=list)

    @property
    def touch(self) -> Any:
        shares = [0.1, 0.6, 0.97, 0.99, 1.0, 1.0]
        return SimpleNamespace(shares=shares, biases=[0.0] * 6, strength=1.0, parts=6)

    def deepened(self) -> "_Image":
        return self

    def touched(self, part: int, bias: float) -> "_Image":
        gain = 0.0 if self.touches else self.gain
        self.touches.append((part, bias))
        return _Image(self.value + gain, self.gain, self.touches)


def _refined(image: Any) -> Any:
    goal, aim = _Goal(40.0), Aim(10.0, -6.0, -0.4, 1000.0)
    return refine(goal, aim, image, np.zeros((1, 1, 1), np.uint8), image.value)


def test_levels_that_do_the_same_are_not_tried_one_by_one() -> None:
    image = _Image(-0.1, 0.03)
    assert _refined(image) is image
    assert 1 <= len(image.touches) <= 3


def test_a_level_that_does_it_is_enough() -> None:
    image = _Image(-0.1, 0.11)
    assert _refined(image).value == image.value + image.gain
    assert len(image.touches) == 1
