"""Samples of what predicts a difference, gathered while photos are coded (training)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.pyramid.format import Pass
from rnnic.pyramid.model import ACTIVITY_TERMS, CHROMA_TAPS, LUMA_TAPS, PASSES
from rnnic.pyramid.tuning_kernels import gather_features

__all__ = ["CentroidSums", "Centroids", "PassSamples", "collect", "gather"]

CentroidSums = tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]
Array = npt.NDArray[np.float32]
SAMPLES_PER_PASS = 6000


class PassSamples:
    """Samples by band and level.

    ``get(band, level)`` gives a dictionary of float32 arrays with a last axis of samples, all in
    units of the step size: ``luma`` (15), ``chroma`` (2, 7), ``activity`` (groups, 12),
    ``target`` (components).
    """

    def __init__(self, bands: int, channels: int) -> None:
        self.bands = bands
        self.channels = channels
        self._found: dict[tuple[int, int], list[dict[str, Array]]] = {}

    def add(self, band: int, level: int, sample: dict[str, Array]) -> None:
        """Keep the samples of a pass."""
        self._found.setdefault((band, level), []).append(sample)

    def extend(self, other: "PassSamples") -> None:
        """Keep the samples of another collection too, behind these."""
        for key, found in other._found.items():
            self._found.setdefault(key, []).extend(found)

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

    def parts(self) -> CentroidSums:
        """Return the sums that are not zero, and where they are."""
        flat = self.sums.reshape(-1, 4)
        places = np.flatnonzero(flat[:, 3])
        return places, flat[places]

    def extend(self, parts: CentroidSums) -> None:
        """Add what `parts` gave."""
        places, sums = parts
        self.sums.reshape(-1, 4)[places] += sums

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
        chosen = rng.permutation(step.rows * step.columns)[:SAMPLES_PER_PASS]
        samples.add(band, step.level, gather(step, state, np.sort(chosen)))

    return sink


def gather(
    step: Pass, state: dict[str, Any], chosen: npt.NDArray[np.int64], first: int = 0
) -> dict[str, Array]:
    """Features of some pairs, numbered row by row, in the order of the kernels.

    Differences, residuals and magnitudes in ``state`` begin with row ``first``.
    """
    source = state["source"]
    channels, count = len(source), len(chosen)
    groups = min(channels, 2)
    found = {
        "luma": np.empty((LUMA_TAPS, count), np.float32),
        "chroma": np.empty((channels - 1, CHROMA_TAPS, count), np.float32),
        "activity": np.empty((groups, ACTIVITY_TERMS, count), np.float32),
        "target": np.empty((channels, count), np.float32),
    }
    gather_features(
        state["parents"], state["energies"], source, state["differences"], state["residuals"],
        state["magnitudes"], first, chosen, step.columns, step.along_x,
        np.float32(16 / state["scaled"]), *found.values(),
    )  # fmt: skip
    return found
