"""Decoder of the raster method (SPEC.md 4): the fast path; :mod:`rnnic.reference` is its oracle."""

import numpy as np
import numpy.typing as npt

from rnnic.container import TileBox
from rnnic.entropy.bits import words_of
from rnnic.entropy.huffman import MAX_LENGTH
from rnnic.errors import FormatError, TruncatedError
from rnnic.raster import kernels
from rnnic.raster.model import RasterPart
from rnnic.raster.tables import RasterParameters, decoder_tables, entry_tables

__all__ = ["PIXELS_PER_BYTE", "decode_tile"]

PIXELS_PER_BYTE = 32
"""No code is shorter than one bit, and none stands for more than four pixels."""
MAX_PIXEL_BITS = 4 * MAX_LENGTH
"""A literal is four symbols."""


def decode_tile(
    payload: memoryview,
    box: TileBox,
    part: RasterPart,
    parameters: RasterParameters,
    out: npt.NDArray[np.uint8],
) -> None:
    """Decode a tile into its place in an image.

    Parameters
    ----------
    payload : memoryview
        The tile's bytes.
    box : TileBox
        The tile's place in `out`.
    part : RasterPart
        Of the model, for the image's number of channels.
    parameters : RasterParameters
        From the header.
    out : uint8 (H, W, c)
        Receives the pixels.

    Raises
    ------
    TruncatedError
        If the payload ends before the tile does.
    FormatError
        If it cannot be the work of an encoder.
    """
    status = kernels.decode_tile(
        words_of(payload, MAX_PIXEL_BITS * box.width),
        8 * len(payload),
        tuple(entry_tables(part, parameters.scale)),
        tuple(decoder_tables(part)),
        parameters.scale,
        out,
        tuple(box),
        np.zeros((box.width + 3) * part.channels, np.int16),
        kernels.row_room(box.width),
    )
    if status == kernels.TRUNCATED:
        raise TruncatedError(f"the tile at {box.x}, {box.y} ends too early; the file is damaged")
    if status == kernels.DAMAGED:
        raise FormatError(f"the tile at {box.x}, {box.y} is damaged")
