import math

import pytest

from rnnic.targets import Reach, Search


@pytest.mark.parametrize("goal", [12.0, 30.0, 47.77, 55.0])
def test_psnr_like_curves_take_few_trials(goal: float) -> None:
    tried: list[float] = []

    def encode(control: float) -> float:
        tried.append(control)
        return math.inf if control == 0 else 58 - 20 * math.log10(control + 0.3)

    search = Search((0.0, 442.0), 1 / 64, 0.02, finer_is_more=True)
    found = search.run(encode, lambda quality: quality - goal)
    assert found.result is not None
    assert goal <= found.result <= goal + 0.02
    assert len(tried) <= 9


def test_size_like_curves() -> None:
    def size(control: float) -> int:
        return int(100_000 / (1 + control))

    search = Search((0.0, 442.0), 1 / 64, 0.015, finer_is_more=False)
    for goal in (300, 5000, 60_000):
        found = search.run(size, lambda n, goal=goal: 1 - n / goal)  # type: ignore[misc]
        assert found.result is not None
        assert 0.985 * goal <= found.result <= goal
    assert search.run(size, lambda n: 1 - n / 100).result is None
    found = search.run(size, lambda n: 1 - n / 10**6)
    assert found.result is not None
    assert found.result > 98_000


def test_steps_end_the_search() -> None:
    """Where no control is within the tolerance, the best one that meets the target is taken."""

    def stairs(control: float) -> float:
        return -float(int(control / 5))

    found = Search((0.0, 442.0), 1 / 64, 0.01, finer_is_more=True).run(stairs, lambda v: v + 2.5)
    assert found.result == -2.0
    assert found.reached == 0.5


def test_a_good_start_takes_two_trials() -> None:
    tried: list[float] = []

    def encode(control: float) -> float:
        tried.append(control)
        return 58 - 6 * math.log(control)

    search = Search((0.25, 128.0), 1 / 512, 0.02, finer_is_more=True, first=9.0, slope=-6.02)
    found = search.run(encode, lambda quality: quality - 44.0)
    assert found.result is not None
    assert 44 <= found.result <= 44.02
    assert tried[0] == pytest.approx(9.0)
    assert len(tried) == 2


def test_chance_does_not_make_a_slope() -> None:
    """A second result that is worse by chance, at nearly the same place, leads nowhere far."""
    tried: list[float] = []
    chance = iter([0.0, -0.15, 0.0, 0.0, 0.0])

    def encode(control: float) -> float:
        tried.append(control)
        return 58 - 6 * math.log(control) + next(chance)

    search = Search((0.25, 128.0), 1 / 512, 0.02, finer_is_more=True, first=10.6, slope=-6.0)
    found = search.run(encode, lambda quality: quality - 44.0)
    assert found.result is not None
    assert tried[2] / tried[1] > 0.95


def test_what_refines_may_end_the_search() -> None:
    def refine(result: float, excess: float) -> float:
        return result - excess + 0.01 if abs(excess) < 0.2 else result

    search = Search((0.25, 128.0), 1 / 512, 0.02, finer_is_more=True, first=10.0, slope=-6.0)
    for offset in (-0.1, 0.1):
        tried: list[float] = []

        def encode(control: float, tried: list[float] = tried) -> float:
            tried.append(control)
            return control

        goal = 10.0 - offset
        found = search.run(encode, lambda v, goal=goal: v - goal, refine)  # type: ignore[misc]
        assert found.result == pytest.approx(goal + 0.01)
        assert len(tried) == 1


@pytest.mark.parametrize("true_gap", [0.3, -0.05])
def test_what_was_foreseen_is_refined_before_it_is_given(true_gap: float) -> None:
    """Results far off are only foreseen; one that turns out to miss the target is not taken."""
    refined: list[float] = []
    goal = 50.0

    def excess(result: tuple[float, bool]) -> float:
        control, exact = result
        return 60 - 6 * math.log(control) - goal + (true_gap if exact else 0.5)

    def refine(result: tuple[float, bool], over: float) -> tuple[float, bool]:
        refined.append(over)
        return result[0], True

    search = Search((0.25, 128.0), 1 / 512, 0.02, finer_is_more=True, first=5.0, slope=-6.0,
                    trials=1, refinable=Reach(0.15, 0.15))  # fmt: skip
    found = search.run(
        lambda control: (control, False),
        excess,
        refine,
        lambda result: math.inf if not result[1] else 1.0,
    )
    assert refined
    assert found.result is not None
    assert found.result[1]
    assert excess(found.result) >= 0
    assert found.reached == excess(found.result)


@pytest.mark.parametrize("refinable", [Reach(0.15, 0.15), Reach(0.15, 0.6)])
def test_what_is_foreseen_wrongly_is_not_given(refinable: Reach) -> None:
    """Each result is foreseen to be better than it is; what is measured alone counts."""
    tried: list[float] = []

    def encode(control: float) -> tuple[float, bool]:
        tried.append(control)
        return control, False

    def excess(result: tuple[float, bool]) -> float:
        control, exact = result
        return 8 - 6 * math.log(control) - (4.0 if exact else 0.0)

    search = Search((0.25, 128.0), 1 / 512, 0.02, finer_is_more=True, first=3.3, slope=-6.0,
                    trials=3, refinable=refinable, settled=0.5)  # fmt: skip
    found = search.run(
        encode,
        excess,
        lambda result, _: (result[0], True),
        lambda result: 1.0 if result[1] else math.inf,
    )
    assert found.result is not None
    assert found.result[1]
    assert 0 <= excess(found.result) <= 0.6
    assert len(tried) < 12


def test_the_end_of_the_span_is_told() -> None:
    search = Search((0.25, 128.0), 1 / 512, 0.02, finer_is_more=True, first=4.0, slope=-6.0)
    found = search.run(lambda c: 60 - 6 * math.log(c), lambda quality: quality - 10)
    assert found.at_end
    assert found.result == pytest.approx(60 - 6 * math.log(128))
    found = search.run(lambda c: 60 - 6 * math.log(c), lambda quality: quality - 90)
    assert found.result is None
    assert found.reached == pytest.approx(60 - 6 * math.log(0.25) - 90)


def test_a_jump_over_the_target_ends_the_search() -> None:
    """Some trials are enough once good and bad controls are known."""
    tried: list[float] = []

    def jumps(control: float) -> float:
        tried.append(control)
        return (58.0 if control < 40 else 38.0) - math.log(control)

    search = Search((0.25, 128.0), 1 / 512, 0.02, finer_is_more=True, first=9.0, trials=4)
    found = search.run(jumps, lambda quality: quality - 44.0)
    assert found.result is not None
    assert found.reached > 0.02
    assert len(tried) == 4


def test_near_the_target_more_trials_are_worth_it() -> None:
    """Small jumps are searched on, so far."""
    tried: list[float] = []

    def jumps(control: float) -> float:
        tried.append(control)
        return 58 - 6 * math.log(control) + (0.05 if control < 9.61 else -0.05)

    goal = 58 - 6 * math.log(9.61)
    search = Search((0.25, 128.0), 1 / 512, 0.02, finer_is_more=True, narrow=3e-4, first=9.55,
                    slope=-6.0, trials=2)  # fmt: skip
    found = search.run(jumps, lambda quality: quality - goal)
    assert 0.02 < found.reached < 0.1
    assert len(tried) == 4


def test_trials_do_not_end_before_a_result_meets_the_target() -> None:
    search = Search((0.25, 128.0), 1 / 512, 0.02, finer_is_more=True, first=128.0, trials=1)
    found = search.run(lambda c: 60 - 6 * math.log(c), lambda quality: quality - 55.0)
    assert found.result is not None
    assert found.reached >= 0


def test_far_beyond_the_target_little_savings_end_the_search() -> None:
    tried: list[float] = []

    def lossless(control: float) -> float:
        tried.append(control)
        return control

    search = Search((0.25, 128.0), 1 / 512, 0.02, finer_is_more=True, first=4.0, settled=0.5)
    found = search.run(lossless, lambda _: 10.0, cost=lambda control: 5000 - control)
    assert found.result == max(tried)
    assert not found.at_end
    assert len(tried) == 2
