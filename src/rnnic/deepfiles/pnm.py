"""PGM and PPM with 16 bits a sample (Netpbm): a header in ASCII, then samples, the higher byte first."""

import re
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from rnnic.errors import OptionError, RnnicError

__all__ = ["is_deep_pnm", "read_deep_pnm", "write_deep_pnm"]

Pixels16 = npt.NDArray[np.uint16]
_SPACE = rb"(?:[ \t\r\n]|#[^\r\n]*[\r\n])+"
_HEADER = re.compile(
    rb"P([2356])" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,10})" + _SPACE + rb"(\d{1,5})\s"
)
_HEADER_BYTES = 1 << 12
TOP = 65535


def is_deep_pnm(data: bytes) -> bool:
    """Return whether data begins as a PGM or PPM file of more than 8 bits a sample does."""
    found = _HEADER.match(data[:_HEADER_BYTES])
    return found is not None and 255 < int(found[4]) <= TOP


def read_deep_pnm(data: bytes) -> Pixels16:
    """Return the pixels of a PGM or PPM file, (H, W) or (H, W, 3), scaled to 0 … 65535.

    Raises
    ------
    RnnicError
        If it is damaged. Limits of size are the caller's.
    """
    found = _HEADER.match(data[:_HEADER_BYTES])
    if found is None:
        raise RnnicError("the header is damaged")
    kind, width, height, top = map(int, found.groups())
    channels = 3 if kind in (3, 6) else 1
    count = width * height * channels
    if kind in (2, 3):
        try:
            samples = np.array(data[found.end() :].split()[:count], np.int64)
        except ValueError as error:
            raise RnnicError("a sample is no number") from error
    else:
        available = (len(data) - found.end()) // 2
        samples = np.frombuffer(data, ">u2", min(count, available), found.end()).astype(np.int64)
    if len(samples) < count:
        raise RnnicError("the file is cut off")
    if count and (int(samples.max()) > top or int(samples.min()) < 0):
        raise RnnicError(f"a sample is outside 0 … {top}")
    pixels = ((samples * TOP + top // 2) // top).astype(np.uint16)
    return pixels.reshape((height, width) if channels == 1 else (height, width, 3))


def write_deep_pnm(file: BinaryIO, pixels: Pixels16) -> None:
    """Write uint16 (H, W) or (H, W, 1 or 3) as PGM or PPM.

    Raises
    ------
    OptionError
        If there is alpha.
    """
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels not in (1, 3):
        raise OptionError("PGM and PPM have no alpha; write PNG, TIFF or WebP")
    height, width = pixels.shape[:2]
    file.write(b"P%d\n%d %d\n%d\n" % (5 if channels == 1 else 6, width, height, TOP))
    file.write(pixels.astype(">u2").tobytes())
