"""The JPEG that the published claims compare with."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rnnic.errors import RnnicError
from rnnic.extras import require
from rnnic.metrics import psnr

__all__ = ["JPEG_QUALITY", "Jpeg", "encode_jpeg", "require_opencv"]

Pixels = npt.NDArray[np.uint8]
JPEG_QUALITY = 100


@dataclass(frozen=True)
class Jpeg:
    """Size in bytes and PSNR in dB of an image as JPEG."""

    size: int
    psnr: float


def require_opencv() -> Any:
    """Return the module ``cv2``.

    Raises
    ------
    MissingDependencyError
        If OpenCV is not installed.
    """
    return require("cv2", "OpenCV, whose JPEG is compared with,")


def encode_jpeg(pixels: Pixels) -> Jpeg:
    """Compress an image with OpenCV's JPEG at quality 100 and its other defaults (4:2:0).

    Parameters
    ----------
    pixels : uint8 (H, W) or (H, W, 3)
        Grey or RGB.
    """
    cv2 = require_opencv()
    reverse = np.s_[..., ::-1] if pixels.ndim == 3 else np.s_[...]  # OpenCV wants BGR
    fine, coded = cv2.imencode(
        ".jpg", np.ascontiguousarray(pixels[reverse]), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not fine:
        raise RnnicError("OpenCV could not write a JPEG")
    decoded = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
    return Jpeg(len(coded), psnr(pixels, decoded[reverse]))
