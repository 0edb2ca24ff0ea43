"""Filters and activity weights that fit a pass of a tile (encoder only)."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rnnic.pyramid.decoder import RowBuffers
from rnnic.pyramid.decoder_kernels import pass_weights
from rnnic.pyramid.features import gather
from rnnic.pyramid.fit import TAP_UNIT, WEIGHT_UNIT, Fit
from rnnic.pyramid.fitting import expected_magnitude, robust_filter
from rnnic.pyramid.fitting_kernels import coding_cost, expected, filter_cost
from rnnic.pyramid.format import Pass, lane_rows
from rnnic.pyramid.model import ACTIVITY_TERMS, MAX_ACTIVITY_WEIGHT, MAX_TAP_SUM
from rnnic.pyramid.tuning_kernels import quantise_rows

__all__ = ["PassInput", "fit_pass"]

STRIP = 24
SAMPLES = 24576
SHARE, FEW_SAMPLES = 0.3, 6000
"""Passes of few pairs give this share of them, or so many."""
LEAST_SAMPLES = 300
TRUST = 200.0
"""Samples that the model's own numbers count for."""
BITS_PER_NUMBER = 5.0
LEAST_EXPECTED = 0.15
Array = npt.NDArray[np.float32]


class PassInput(NamedTuple):
    """What the coding of a pass starts from: parents, their energies, true children, step size."""

    parents: npt.NDArray[np.int16]
    energies: npt.NDArray[np.int16]
    source: npt.NDArray[np.float32]
    scaled: int


def fit_pass(
    step: Pass, given: PassInput, fit: Fit, density: float, coded: RowBuffers | None = None
) -> None:
    """Change a pass's filters and weights in ``fit`` where that pays for sending them.

    ``density`` scales the number of samples looked at; if the pass was coded before, they are
    taken from the buffers, which hold all its rows.
    """
    level, pairs = step.level, step.rows * step.columns
    if pairs < LEAST_SAMPLES:
        return
    wanted = int(min(SAMPLES * density, max(SHARE * density * pairs, FEW_SAMPLES)))
    found = (
        _sampled(step, given, fit, wanted) if coded is None else _seen(step, given, coded, wanted)
    )
    groups = range(len(found["activity"]))
    scales = [_expected(found, k, fit.activity[level, k]) for k in groups]
    rest = []
    for c, target in enumerate(found["target"]):
        taps = fit.luma[level] if c == 0 else fit.chroma[level, c - 1]
        features = found["luma"] if c == 0 else found["chroma"][c - 1]
        new = _filter(features, target, taps)
        before, after = np.empty_like(target), np.empty_like(target)
        scale = scales[min(c, 1)]
        old_cost = filter_cost(features, target, taps / 2048, scale, before)
        new_cost = filter_cost(features, target, new / 2048, scale, after)
        pays = pairs * (old_cost - new_cost) > BITS_PER_NUMBER * len(taps)
        if pays:
            taps[:] = new
        rest.append(after if pays else before)
    for k in groups:
        size = rest[0] if k == 0 else rest[1] + rest[2]
        first = fit.activity[level, k].astype(np.int64)
        weights = expected_magnitude(found["activity"][k], size, first / 4096, 2, TRUST)
        moved = first + WEIGHT_UNIT * np.rint((weights * 4096 - first) / WEIGHT_UNIT)
        moved = np.where((moved >= 0) & (moved <= MAX_ACTIVITY_WEIGHT), moved, first)
        before, after = coding_cost(size, scales[k]), coding_cost(size, _expected(found, k, moved))
        if pairs * (before - after) > BITS_PER_NUMBER * ACTIVITY_TERMS:
            fit.activity[level, k] = moved


def _expected(found: dict[str, Array], group: int, weights: npt.NDArray[Any]) -> Array:
    """Return the magnitudes that a group's weights expect, in steps."""
    features = found["activity"][group]
    out = np.empty(features.shape[1], np.float32)
    expected(features, np.append(weights / 4096, LEAST_EXPECTED), out)
    return out


def _seen(step: Pass, given: PassInput, coded: RowBuffers, wanted: int) -> dict[str, Array]:
    """Gather features from the lanes of a pass that was coded."""
    stride = max(step.rows * step.columns // wanted, 1) | 1
    parts = []
    first = 0
    for k, count in enumerate(lane_rows(step.rows, len(coded.residuals))):
        state = given._asdict() | {
            "differences": coded.differences[k],
            "residuals": coded.residuals[k],
            "magnitudes": coded.magnitudes[k],
        }
        chosen = np.arange(first * step.columns, (first + count) * step.columns, stride)
        parts.append(gather(step, state, chosen, first))
        first += count
    return _joined(parts)


def _joined(parts: list[dict[str, Array]]) -> dict[str, Array]:
    """Put samples one after the other; the parts are used up, so that not all is there twice."""
    return {name: np.concatenate([p.pop(name) for p in parts], axis=-1) for name in list(parts[0])}


def _sampled(step: Pass, given: PassInput, fit: Fit, wanted: int) -> dict[str, Array]:
    """Code strips of rows roughly and gather features."""
    rows, columns = step.rows, step.columns
    # Half of a strip's pairs at most are sampled: neighbours tell the same twice.
    strips = max(1, min(rows // STRIP, 2 * wanted // (STRIP * columns) + 1))
    high = min(rows, STRIP)
    channels = len(given.source)
    weights = np.zeros((2, ACTIVITY_TERMS), np.int32)
    pass_weights(fit.activity[step.level], given.scaled, weights)
    base, residual = (np.zeros((3, columns), np.int32) for _ in range(2))
    activity = np.zeros((2, columns), np.int32)
    d, r, m = (np.zeros((k, high + 3, columns + 2), np.int32) for k in (3, 3, 2))
    children = np.zeros((channels, 2, step.width + 4), np.int16)
    gradients, target = np.empty((3, columns), np.int16), np.empty(columns, np.float32)
    state: dict[str, Any] = given._asdict() | {"differences": d, "residuals": r, "magnitudes": m}
    stride = max(strips * high * columns // wanted, 1) | 1
    parts = []
    for i in range(strips):
        first = (2 * i + 1) * rows // (2 * strips) - high // 2
        first = min(max(first, 0), rows - high)
        quantise_rows(
            given.parents, given.energies, given.source, first, high, columns, step.along_x,
            fit.luma[step.level], fit.chroma[step.level], weights, np.int32(given.scaled), base,
            activity, residual, d, r, m, children, gradients, target,
        )  # fmt: skip
        # The first row of a strip has nothing above.
        begin = (first + (high > 1)) * columns
        parts.append(gather(step, state, np.arange(begin, (first + high) * columns, stride), first))
    return _joined(parts)


def _filter(x: Array, y: Array, start: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Return a filter in units of the format; the one to start from if it is beyond the limits."""
    taps = robust_filter(x, y, start / 2048, 2, TRUST)
    first = start.astype(np.int64)
    moved = first + TAP_UNIT * np.rint((taps * 2048 - first) / TAP_UNIT).astype(np.int64)
    return moved.astype(np.int16) if np.abs(moved).sum() <= MAX_TAP_SUM else start
