"""Levels of a tile's pyramid that the encoder codes, and how far from them its planes are."""

from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.pyramid.clipping import white_of
from rnnic.pyramid.colour import DEPTH_SCALE, forward_matrix
from rnnic.pyramid.fit import Fit
from rnnic.pyramid.format import Pass, PyramidParams, passes
from rnnic.pyramid.source_kernels import average_columns, average_rows, to_components

__all__ = ["new_planes", "pyramid_of", "row_errors"]


def pyramid_of(
    pixels: npt.NDArray[Any], params: PyramidParams, fit: Fit, beyond: np.float32
) -> list[npt.NDArray[np.float32]]:
    """Components of every level, finest first: float32 (components, height, width), 1/64 sample.

    ``pixels`` are those of an image, or float32 targets; see `to_components` for ``beyond``.
    With 16 bits, values are whole and means are rounded as decoders take them to be: what that rounding
    would add up to over all levels is a step of its own.
    """
    height, width = pixels.shape[:2]
    deep = params.bit_depth == 16
    plane = np.empty((params.channels, height, width), np.float32)
    matrix = forward_matrix(fit.colour, params.channels, params.bit_depth)
    middle = np.float32(128 * DEPTH_SCALE[params.bit_depth])
    pixels = np.ascontiguousarray(pixels)
    rows = np.empty((params.channels, width), np.float32)
    to_components(pixels, matrix, middle, white_of(params.bit_depth), beyond, rows, plane)
    if deep:
        np.rint(plane, out=plane)
    levels = [plane]
    for step in passes(width, height)[0][::-1]:
        above = levels[-1]
        if step.along_x:
            mean = np.empty((params.channels, step.height, (step.width + 1) // 2), np.float32)
            average_columns(above, mean)
        else:
            mean = np.empty((params.channels, (step.height + 1) // 2, step.width), np.float32)
            average_rows(above, mean)
        if deep:
            np.floor(mean, out=mean)
        levels.append(mean)
    return levels


def new_planes(step: Pass, channels: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """Return sample and energy planes of a pass, (planes, height + 4, width + 4), not yet filled.

    Each pass has new ones, which take the memory of levels of the pyramid that are coded.
    """
    shape = step.height + 4, step.width + 4
    return np.empty((channels, *shape), np.int16), np.empty((min(channels, 2), *shape), np.int16)


def row_errors(
    children: npt.NDArray[np.int16], source: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Return the squared errors of a level's planes, which have borders, by rows."""
    height, width = source.shape[1:]
    error = children[: len(source), 2 : 2 + height, 2 : 2 + width] - source
    rows: npt.NDArray[np.float64] = np.square(error, dtype=np.float64).sum(axis=(0, 2))
    return rows
