"""How like an image its copy is: PSNR, SSIM, MS-SSIM, SSIMULACRA2, greatest error."""

import io
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rnnic.metrics import max_error, psnr

__all__ = ["Measures", "luma", "measure", "ms_ssim", "ssim", "ssimulacra2_version"]

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float64]

_LUMA = np.array([0.299, 0.587, 0.114])
_WINDOW = 11
_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_SSIMULACRA2_SIDE = 8


@dataclass(frozen=True)
class Measures:
    """Likeness of an image and its copy; None where an image is too small or a library missing.

    Attributes
    ----------
    psnr, psnr_y : float
        dB over all channels, and of luma (BT.601, not rounded); infinity for equal images.
    ssim, ms_ssim : float or None
        Of luma.
    ssimulacra2 : float or None
        At most 100.
    max_error : float
        Greatest Euclidean distance of two pixels in 8-bit RGB units.
    """

    psnr: float
    psnr_y: float
    ssim: float | None
    ms_ssim: float | None
    ssimulacra2: float | None
    max_error: float


def luma(pixels: Pixels) -> Plane:
    """Return luma, float64 (H, W) in 0 … 255, of a grey or RGB image."""
    return pixels @ _LUMA if pixels.ndim == 3 else pixels.astype(np.float64)


def measure(original: Pixels, copy: Pixels) -> Measures:
    """Measure a copy of an image.

    Parameters
    ----------
    original, copy : uint8 (H, W) or (H, W, 3)
        Images of the same shape.
    """
    first, second = luma(original), luma(copy)
    square = float(((first - second) ** 2).mean())
    smallest = min(first.shape)
    multi_scale = smallest >= _WINDOW * 2 ** (len(_SCALE_WEIGHTS) - 1)
    return Measures(
        psnr=psnr(original, copy),
        psnr_y=10 * math.log10(255.0**2 / square) if square else math.inf,
        ssim=ssim(first, second) if smallest >= _WINDOW else None,
        ms_ssim=ms_ssim(first, second) if multi_scale else None,
        ssimulacra2=_ssimulacra2(original, copy) if smallest >= _SSIMULACRA2_SIDE else None,
        max_error=max_error(original, copy),
    )


def _smoothed(plane: Plane) -> Plane:
    """Return the plane under the Gaussian window, where the window is inside it."""
    place = np.arange(_WINDOW) - _WINDOW // 2
    kernel = np.exp(-(place**2) / (2 * _SIGMA**2))
    kernel /= kernel.sum()
    height, width = plane.shape[0] - _WINDOW + 1, plane.shape[1] - _WINDOW + 1
    rows = np.zeros((height, plane.shape[1]))
    for index, weight in enumerate(kernel):
        rows += weight * plane[index : index + height]
    found = np.zeros((height, width))
    for index, weight in enumerate(kernel):
        found += weight * rows[:, index : index + width]
    return found


def _similarity(first: Plane, second: Plane) -> tuple[float, float]:
    """Return mean SSIM, and the mean of its factor of contrast and structure."""
    mean_1, mean_2 = _smoothed(first), _smoothed(second)
    variance_1 = _smoothed(first * first) - mean_1 * mean_1
    variance_2 = _smoothed(second * second) - mean_2 * mean_2
    covariance = _smoothed(first * second) - mean_1 * mean_2
    structure = (2 * covariance + _C2) / (variance_1 + variance_2 + _C2)
    light = (2 * mean_1 * mean_2 + _C1) / (mean_1 * mean_1 + mean_2 * mean_2 + _C1)
    return float((light * structure).mean()), float(structure.mean())


def ssim(first: Plane, second: Plane) -> float:
    """Return SSIM at full resolution: 11 x 11 Gaussian window of sigma 1.5, inside the image.

    Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural
    similarity. IEEE Transactions on Image Processing 13 (2004).

    Parameters
    ----------
    first, second : float64 (H, W)
        Luma in 0 … 255, at least 11 x 11.
    """
    return _similarity(first, second)[0]


def _halved(plane: Plane) -> Plane:
    """Return means of 2 x 2 pixels; odd sides are continued by their last row or column."""
    even = np.pad(plane, [(0, side % 2) for side in plane.shape], mode="edge")
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4


def ms_ssim(first: Plane, second: Plane) -> float:
    """Return MS-SSIM over five scales.

    Wang, Simoncelli, Bovik: Multiscale structural similarity for image quality assessment. Asilomar
    Conference on Signals, Systems and Computers (2003).

    Parameters
    ----------
    first, second : float64 (H, W)
        Luma in 0 … 255, at least 176 x 176.
    """
    product = 1.0
    last = len(_SCALE_WEIGHTS) - 1
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        whole, structure = _similarity(first, second)
        # A negative mean, of an inverted copy say, has no power: such a scale has no likeness at all.
        product *= max(whole if scale == last else structure, 0.0) ** weight
        first, second = _halved(first), _halved(second)
    return product


def _as_file(pixels: Pixels) -> io.BytesIO:
    """Return an image as a file in memory, which is what the library of SSIMULACRA2 takes."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PPM")
    file.seek(0)
    return file


def _ssimulacra2(original: Pixels, copy: Pixels) -> float | None:
    try:
        from ssimulacra2 import compute_ssimulacra2
    except ImportError:
        return None  # one measure less; the report's list of versions shows which were there
    return float(compute_ssimulacra2(_as_file(original), _as_file(copy)))


def ssimulacra2_version() -> str | None:
    """Return the version of the library of SSIMULACRA2, None where it is missing."""
    try:
        import ssimulacra2
    except ImportError:
        return None
    return str(ssimulacra2.__version__)
