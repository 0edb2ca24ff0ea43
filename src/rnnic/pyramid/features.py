"""Samples of what predicts a difference, gathered while photos are coded (training)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.pyramid.format import Pass
from rnnic.pyramid.model import PASSES

__all__ = ["Centroids", "PassSamples", "collect"]

Array = npt.NDArray[np.float32]
SAMPLES_PER_PASS = 6000


class PassSamples:
    """Samples by band and level.

    ``get(band, level)`` gives a dictionary of float32 arrays with a last axis of samples, all in
    units of the step size: ``luma`` (15), ``chroma`` (2, 7), ``activity`` (2, 12),
    ``target`` (components).
    """

    def __init__(self, bands: int, channels: int) -> None:
        self.bands = bands
        self.channels = channels
        self._found: dict[tuple[int, int], list[dict[str, Array]]] = {}

    def add(self, band: int, level: int, sample: dict[str, Array]) -> None:
        """Keep the samples of a pass."""
        self._found.setdefault((band, level), []).append(sample)

    def get(self, band: int, level: int) -> dict[str, Array]:
        """All samples of a band and level; falls back on the other bands if it has few."""
        found = self._found.get((band, level), [])
        if sum(f["target"].shape[-1] for f in found) < 3000:
            found = [f for b in range(self.bands) for f in self._found.get((b, level), [])]
        if not found:
            return {}
        return {name: np.concatenate([f[name] for f in found], axis=-1) for name in found[0]}

    def levels(self) -> range:
        """All levels."""
        return range(PASSES)


class Centroids:
    """Sums of what palette entries stood for, by absolute grid coordinates.

    Attributes
    ----------
    sums : float64 array, (side, side, side, 4)
        Absolute true residual of every component in steps, and the number of pairs.
    """

    SIDE = 64

    def __init__(self, spacing: npt.NDArray[np.float64]) -> None:
        self.spacing = spacing
        self.sums = np.zeros((self.SIDE, self.SIDE, self.SIDE, 4))

    def add(self, step: Pass, state: dict[str, Any]) -> None:
        """Add the pairs of a pass."""
        rows, columns = step.rows, step.columns
        source = state["source"]
        if step.along_x:
            target = source[:, :, : 2 * columns : 2] - source[:, :, 1 : 2 * columns : 2]
        else:
            target = source[:, : 2 * rows : 2] - source[:, 1 : 2 * rows : 2]
        channels = len(source)
        area = np.s_[:channels, 1 : rows + 1, 1 : columns + 1]
        chosen = state["residuals"][area].astype(np.float64)
        unit = state["scaled"] / 16
        truth = (target - (state["differences"][area] - chosen)) / unit
        k = np.zeros((3, rows, columns), np.int64)
        spacing = self.spacing[:channels, None, None]
        k[:channels] = np.minimum(np.rint(np.abs(chosen) / unit / spacing), self.SIDE - 1)
        at = tuple(k.reshape(3, -1))
        truth = (truth * np.sign(chosen)).reshape(channels, -1)
        for c in range(channels):
            np.add.at(self.sums[..., c], at, truth[c])
        np.add.at(self.sums[..., 3], at, 1.0)

    def move(
        self, orbits: npt.NDArray[np.uint8], magnitudes: npt.NDArray[np.int16]
    ) -> npt.NDArray[np.int16]:
        """Magnitudes, any leading shape, moved to the centroids in 1/64 step."""
        k = np.minimum(orbits.astype(np.int64), self.SIDE - 1)
        found = self.sums[k[..., 0], k[..., 1], k[..., 2]]
        moved = (found[..., :3] * 64 + 20.0 * magnitudes) / (found[..., 3:] + 20.0)
        least = np.where(magnitudes > 0, np.maximum(np.rint(moved), 1), 0)
        return np.minimum(least, 2047).astype(np.int16)


def collect(
    samples: PassSamples, band: int, rng: np.random.Generator
) -> Callable[[Pass, dict[str, Any]], None]:
    """Make a sink for `rnnic.pyramid.encoder.encode_tile` that fills ``samples``."""

    def sink(step: Pass, state: dict[str, Any]) -> None:
        count = step.rows * step.columns
        chosen = rng.permutation(count)[:SAMPLES_PER_PASS]
        y, x = chosen // step.columns, chosen % step.columns
        samples.add(band, step.level, _features(step, state, y, x, samples.channels))

    return sink


def _minmod(a: Array, b: Array) -> Array:
    least: Array = np.maximum(np.minimum(a, b), 0) + np.minimum(np.maximum(a, b), 0)
    return least


def _features(
    step: Pass, state: dict[str, Any], y: npt.NDArray[np.int64], x: npt.NDArray[np.int64], channels: int
) -> dict[str, Array]:  # fmt: skip
    """Features of some pairs; the order is that of the kernels."""
    planes = state["parents"].astype(np.float32)
    unit = np.float32(state["scaled"] / 16)
    d, r = state["differences"], state["residuals"]

    def parent(c: int, across: int, along: int) -> Array:
        dy, dx = (across, along) if step.along_x else (along, across)
        values: Array = planes[c, y + 2 + dy, x + 2 + dx]
        return values

    def slope(c: int, across: int, along: int) -> Array:
        return parent(c, across, -along) - parent(c, across, along)

    def up(rows: npt.NDArray[np.int32], c: int, dx: int) -> Array:
        values: Array = rows[c, y, x + 1 + dx].astype(np.float32)
        return values

    v = parent(0, 0, 0)
    luma = [
        slope(0, 0, 1), slope(0, 0, 2), slope(0, -1, 1), slope(0, 1, 1),
        slope(0, -1, 2) + slope(0, 1, 2), slope(0, -2, 1) + slope(0, 2, 1),
        _minmod(parent(0, 0, -1) - v, v - parent(0, 0, 1)),
        _minmod(parent(0, -1, -1) - v, v - parent(0, 1, 1)),
        _minmod(parent(0, 1, -1) - v, v - parent(0, -1, 1)),
        up(d, 0, 0), up(d, 0, -1), up(d, 0, 1), up(r, 0, 0), up(r, 0, -1),
        r[0, y + 1, x].astype(np.float32),
    ]  # fmt: skip
    chroma = []
    for c in range(1, channels):
        w = parent(c, 0, 0)
        chroma.append(np.stack([
            slope(c, 0, 1), slope(c, 0, 2), slope(c, -1, 1) + slope(c, 1, 1),
            _minmod(parent(c, 0, -1) - w, w - parent(c, 0, 1)),
            up(d, c, 0), up(r, c, 0), r[c, y + 1, x].astype(np.float32),
        ]))  # fmt: skip
    source = state["source"]
    if step.along_x:
        target = source[:, y, 2 * x] - source[:, y, 2 * x + 1]
    else:
        target = source[:, 2 * y, x] - source[:, 2 * y + 1, x]
    found = {
        "luma": np.stack(luma) / unit,
        "target": target / unit,
        "activity": _activity(state, parent, y, x, channels, unit),
    }
    if channels > 1:
        found["chroma"] = np.stack(chroma) / unit
    return found


def _activity(
    state: dict[str, Any], parent: Callable[[int, int, int], Array],
    y: npt.NDArray[np.int64], x: npt.NDArray[np.int64], channels: int, unit: np.float32,
) -> Array:  # fmt: skip
    """Terms of the expected magnitudes, (2 or 1, 12, samples), in steps."""
    energy, magnitude = state["energies"], state["magnitudes"]
    groups = [(0,)] if channels == 1 else [(0,), (1, 2)]
    out = []
    for k, components in enumerate(groups):
        gradients = np.zeros((4, len(y)), np.float32)
        for c in components:
            v = parent(c, 0, 0)
            left, right = parent(c, 0, -1) - v, v - parent(c, 0, 1)
            gradients[0] += abs(left) + abs(right)
            for side in (-1, 1):
                u = parent(c, side, 0)
                gradients[1] += abs(parent(c, side, -1) - u) + abs(parent(c, side, 1) - u)
                gradients[2] += abs(u - v)
            gradients[3] += abs(left - right)
        e = energy[k].astype(np.float32) / 16
        m = magnitude[k].astype(np.float32) / 16
        above = np.where(y > 0, m[np.maximum(y - 1, 0), x + 1], np.float32(0))
        cross = e[y + 1, x + 2] + e[y + 3, x + 2] + e[y + 2, x + 1] + e[y + 2, x + 3]
        out.append(np.concatenate([
            gradients / unit,
            np.stack([e[y + 2, x + 2], cross, m[y, x + 1], m[y, x], m[y, x + 2], m[y + 1, x],
                      above, magnitude[1 - k][y, x + 1] / np.float32(16)]),
        ]))  # fmt: skip
    return np.stack(out)
